-- migrate:up

-- What the feed says of programme trading and of futures beside what REST says, and from which of them a row is.
-- Only the feed has the volumes of programme trading: a row of REST leaves them as they are.
ALTER TABLE futures_state ADD COLUMN source text;
UPDATE futures_state SET source = 'FHKIF03020200';
COMMENT ON COLUMN futures_state.source IS 'TR id of the answer, or of the trade that said it: then it is that of the last trade of the minute';

ALTER TABLE programme_trades
    ADD COLUMN arbitrage_sold_volume   bigint,
    ADD COLUMN arbitrage_bought_volume bigint,
    ADD COLUMN arbitrage_net_volume    bigint,
    ADD COLUMN other_sold_volume       bigint,
    ADD COLUMN other_bought_volume     bigint,
    ADD COLUMN other_net_volume        bigint,
    ADD COLUMN net_volume              bigint,
    ADD COLUMN source                  text;
UPDATE programme_trades SET source = 'FHPPG04600101';
COMMENT ON COLUMN programme_trades.arbitrage_sold_volume IS 'Arbitrage, sold, of the day so far, as KIS''s feed gives it; NULL without the feed';
COMMENT ON COLUMN programme_trades.arbitrage_bought_volume IS 'Arbitrage, bought, of the day so far, as KIS''s feed gives it; NULL without the feed';
COMMENT ON COLUMN programme_trades.arbitrage_net_volume IS 'Arbitrage, net, of the day so far, as KIS''s feed gives it; NULL without the feed';
COMMENT ON COLUMN programme_trades.other_sold_volume IS 'Other than arbitrage, sold, of the day so far, as KIS''s feed gives it; NULL without the feed';
COMMENT ON COLUMN programme_trades.other_bought_volume IS 'Other than arbitrage, bought, of the day so far, as KIS''s feed gives it; NULL without the feed';
COMMENT ON COLUMN programme_trades.other_net_volume IS 'Other than arbitrage, net, of the day so far, as KIS''s feed gives it; NULL without the feed';
COMMENT ON COLUMN programme_trades.net_volume IS 'Both kinds, bought less sold, of the day so far, as KIS''s feed gives it; NULL without the feed';
COMMENT ON COLUMN programme_trades.source IS 'TR id of the answer or frame that has the amounts';

CREATE OR REPLACE VIEW programme_trades_1m AS
SELECT timestamp, symbol,
       extract(epoch FROM timestamp - lag(timestamp) OVER day)::bigint AS seconds,
       arbitrage_sold - lag(arbitrage_sold) OVER day AS arbitrage_sold,
       arbitrage_bought - lag(arbitrage_bought) OVER day AS arbitrage_bought,
       arbitrage_net - lag(arbitrage_net) OVER day AS arbitrage_net,
       other_sold - lag(other_sold) OVER day AS other_sold,
       other_bought - lag(other_bought) OVER day AS other_bought,
       other_net - lag(other_net) OVER day AS other_net,
       net - lag(net) OVER day AS net,
       arbitrage_sold_volume - lag(arbitrage_sold_volume) OVER day AS arbitrage_sold_volume,
       arbitrage_bought_volume - lag(arbitrage_bought_volume) OVER day AS arbitrage_bought_volume,
       arbitrage_net_volume - lag(arbitrage_net_volume) OVER day AS arbitrage_net_volume,
       other_sold_volume - lag(other_sold_volume) OVER day AS other_sold_volume,
       other_bought_volume - lag(other_bought_volume) OVER day AS other_bought_volume,
       other_net_volume - lag(other_net_volume) OVER day AS other_net_volume,
       net_volume - lag(net_volume) OVER day AS net_volume
FROM programme_trades
WINDOW day AS (PARTITION BY symbol, timestamp::date ORDER BY timestamp);
COMMENT ON COLUMN programme_trades_1m.arbitrage_sold_volume IS 'Since the row before; NULL where either of the two has none';
COMMENT ON COLUMN programme_trades_1m.arbitrage_bought_volume IS 'Since the row before; NULL where either of the two has none';
COMMENT ON COLUMN programme_trades_1m.arbitrage_net_volume IS 'Since the row before; NULL where either of the two has none';
COMMENT ON COLUMN programme_trades_1m.other_sold_volume IS 'Since the row before; NULL where either of the two has none';
COMMENT ON COLUMN programme_trades_1m.other_bought_volume IS 'Since the row before; NULL where either of the two has none';
COMMENT ON COLUMN programme_trades_1m.other_net_volume IS 'Since the row before; NULL where either of the two has none';
COMMENT ON COLUMN programme_trades_1m.net_volume IS 'Since the row before; NULL where either of the two has none';

-- migrate:down
-- A system of record goes forward only.
