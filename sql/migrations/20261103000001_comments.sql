-- migrate:up

-- What psql's \d+ and every database browser show. A test holds that no column is without one.
-- Columns that mean the same everywhere are described once, by describe_columns.

COMMENT ON TABLE futures_1m IS
    '1-minute bars of index futures; partitions futures_{first three characters of the code}';
COMMENT ON TABLE stocks_1m IS '1-minute bars of KRX stocks; partitions by month';
COMMENT ON TABLE option_chain_raw IS
    'Option boards as the vendor gave them, one row an option and minute; partitions by month';
COMMENT ON TABLE option_matrices IS
    'Option boards by moneyness: itm1 and otm1 are the listed strikes nearest to ATM; NULL where '
    'no such strike is listed; partitions option_matrices_{underlying_symbol}';
COMMENT ON TABLE option_summary IS
    'Figures of a whole option board, one row a minute; partitions option_summary_{underlying}';
COMMENT ON TABLE system_status IS 'The last heartbeat of each component';
COMMENT ON TABLE rejected_rows IS
    'Rows of KIS that could not be used, as KIS sent them; the same row again is counted';
COMMENT ON TABLE gaps IS
    'The gap ledger: runs of bars that a session owes and that are not stored, with the reason';
COMMENT ON TABLE replaced_bars IS
    'Bars as they were before KIS corrected them; written by a trigger, never changed';
COMMENT ON TABLE signal_corrections IS
    'Signals as they were given, where a late or corrected bar has changed them since';
COMMENT ON TABLE strategy_symbols IS 'The symbols that a strategy has run on; front months roll';
COMMENT ON TABLE dolpha1_signal IS
    'Signals of the strategy dolpha1, as they were given at the time';
COMMENT ON VIEW dolpha1 IS 'The bars of the strategy dolpha1: futures bars of its symbols';
COMMENT ON VIEW corrections IS
    'Corrected sessions, one line each; adjustment: all prices moved by one factor';

COMMENT ON COLUMN futures_1m.product IS
    'Product: first three characters of the code, lower case; the partition key';
COMMENT ON COLUMN stocks_1m.timeframe IS 'Length of the bar: 1m';

COMMENT ON COLUMN option_chain_raw.symbol IS 'Short code of the option';
COMMENT ON COLUMN option_chain_raw.option_type IS 'C call, P put';
COMMENT ON COLUMN option_chain_raw.strike IS 'Strike, index points';
COMMENT ON COLUMN option_chain_raw.price IS 'Last trade, index points';
COMMENT ON COLUMN option_chain_raw.bid IS 'Best bid, index points';
COMMENT ON COLUMN option_chain_raw.ask IS 'Best ask, index points';
COMMENT ON COLUMN option_chain_raw.volume IS 'Contracts traded today so far';
COMMENT ON COLUMN option_chain_raw.open_interest IS 'Open contracts';
COMMENT ON COLUMN option_chain_raw.iv IS 'Implied volatility of the vendor, % per year';
COMMENT ON COLUMN option_chain_raw.historical_volatility IS
    'Volatility behind the vendor''s greeks, % per year';
COMMENT ON COLUMN option_chain_raw.delta IS 'Delta of the vendor';
COMMENT ON COLUMN option_chain_raw.gamma IS 'Gamma of the vendor, per index point';
COMMENT ON COLUMN option_chain_raw.vega IS
    'Vega of the vendor, index points per volatility point';
COMMENT ON COLUMN option_chain_raw.theta IS
    'Theta of the vendor, index points per calendar day';
COMMENT ON COLUMN option_chain_raw.rho IS 'Rho of the vendor';
COMMENT ON COLUMN option_chain_raw.theoretical_price IS
    'Theoretical price of the vendor, index points';
COMMENT ON COLUMN option_chain_raw.atm_class IS
    'ATM flag of the vendor; follows the previous close, not trusted';
COMMENT ON COLUMN option_chain_raw.underlying_price IS
    'Price that decides ATM in this snapshot, index points';
COMMENT ON COLUMN option_chain_raw.underlying_source IS
    'Where underlying_price comes from: future:CODE, index or parity';
COMMENT ON COLUMN option_chain_raw.quoted_at IS
    'When this option''s own quote arrived, KST without zone';

COMMENT ON COLUMN option_matrices.metric_type IS
    'iv, delta, gamma, vega, theta, rho, price, volume, open_interest: the vendor''s; '
    'model_…: ours (Black-76)';

COMMENT ON COLUMN option_summary.underlying_price IS
    'Price of the underlying that decides ATM, index points';
COMMENT ON COLUMN option_summary.forward IS 'Forward implied by put-call parity, index points';
COMMENT ON COLUMN option_summary.atm_strike IS
    'Listed strike nearest to the underlying, index points';
COMMENT ON COLUMN option_summary.atm_volatility IS 'Implied volatility at the money, % per year';
COMMENT ON COLUMN option_summary.risk_reversal_25d IS
    'Volatility of the 25-delta call minus the put''s, volatility points';
COMMENT ON COLUMN option_summary.butterfly_25d IS
    'Mean volatility of the 25-delta wings minus ATM, volatility points';
COMMENT ON COLUMN option_summary.put_call_volume_ratio IS 'Put volume over call volume';
COMMENT ON COLUMN option_summary.put_call_open_interest_ratio IS
    'Open put contracts over call contracts';
COMMENT ON COLUMN option_summary.max_pain IS
    'Strike at which all options together pay least, index points';
COMMENT ON COLUMN option_summary.gamma_exposure IS
    'Gamma of all open contracts, calls minus puts, KRW per 1 % of the underlying';
COMMENT ON COLUMN option_summary.zero_gamma IS
    'Underlying price at which gamma exposure changes sign, index points';
COMMENT ON COLUMN option_summary.days_to_expiry IS 'Calendar days to expiry, with fraction';
COMMENT ON COLUMN option_summary.flags IS 'What is unusual about the board, words';

COMMENT ON COLUMN system_status.component IS 'Name of the component';
COMMENT ON COLUMN system_status.timestamp IS 'When the heartbeat was given, KST without zone';
COMMENT ON COLUMN system_status.status IS 'What the component is doing, one word';
COMMENT ON COLUMN system_status.message IS 'The same in a line';
COMMENT ON COLUMN system_status.data_count IS 'Rows stored so far in this run';
COMMENT ON COLUMN system_status.last_data_time IS
    'Timestamp of the newest row stored, KST without zone';

COMMENT ON COLUMN rejected_rows.received_at IS 'When the row last arrived, KST without zone';
COMMENT ON COLUMN rejected_rows.first_received_at IS
    'When the row first arrived, KST without zone';
COMMENT ON COLUMN rejected_rows.times IS 'How many answers held it';
COMMENT ON COLUMN rejected_rows.tr_id IS 'KIS''s name for the call';
COMMENT ON COLUMN rejected_rows.symbol IS 'Symbol asked for';
COMMENT ON COLUMN rejected_rows.reason IS 'Why the row cannot be used';
COMMENT ON COLUMN rejected_rows.raw IS 'The row as KIS sent it, JSON';
COMMENT ON COLUMN rejected_rows.raw_md5 IS 'Hash of raw, for the key';

COMMENT ON COLUMN gaps.session IS 'Trading day';
COMMENT ON COLUMN gaps.market IS 'stocks, derivatives or night';
COMMENT ON COLUMN gaps.first_stamp IS 'First missing bar, KST without zone';
COMMENT ON COLUMN gaps.last_stamp IS 'Last missing bar, KST without zone';
COMMENT ON COLUMN gaps.stamps IS 'Bars missing from first_stamp to last_stamp';
COMMENT ON COLUMN gaps.state IS
    'open: to be fetched; filled; no_trade: KIS says that nothing traded; '
    'unavailable: KIS no longer serves it';
COMMENT ON COLUMN gaps.attempts IS 'How often it was asked for';
COMMENT ON COLUMN gaps.reason IS 'Why it is in its state';
COMMENT ON COLUMN gaps.opened_at IS 'When it was found, KST without zone';
COMMENT ON COLUMN gaps.updated_at IS 'When its state was last looked at, KST without zone';

COMMENT ON COLUMN replaced_bars.id IS 'Order of replacement';
COMMENT ON COLUMN replaced_bars.table_name IS 'futures_1m or stocks_1m';
COMMENT ON COLUMN replaced_bars.replaced_at IS
    'When the merge that replaced it was made, KST without zone';

COMMENT ON COLUMN signal_corrections.table_name IS 'Table of the signal';
COMMENT ON COLUMN signal_corrections.given IS 'The signal as it was given at the time';
COMMENT ON COLUMN signal_corrections.corrected IS 'The signal on the bars as known later';
COMMENT ON COLUMN signal_corrections.recorded_at IS
    'When the difference was found, KST without zone';

COMMENT ON COLUMN strategy_symbols.strategy IS 'Name of the strategy';
COMMENT ON COLUMN strategy_symbols.since IS 'When it first ran on the symbol, KST without zone';

COMMENT ON COLUMN dolpha1_signal.ub IS 'Upper band, index points';
COMMENT ON COLUMN dolpha1_signal.lb IS 'Lower band, index points';
COMMENT ON COLUMN dolpha1_signal.atr IS 'Mean true range over atr_period bars, index points';
COMMENT ON COLUMN dolpha1_signal.move_open IS '|close / open of the session − 1|';
COMMENT ON COLUMN dolpha1_signal.sigma_open IS
    'Mean of move_open at this minute over the last sessions';
COMMENT ON COLUMN dolpha1_signal.vwap IS
    'Volume-weighted typical price of the session so far, index points';
COMMENT ON COLUMN dolpha1_signal.min_from_open IS 'Minutes from the session''s first stamp';

SELECT describe_columns(oid) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')
  AND relname <> 'schema_migrations';

-- Tables may be made through these functions only by roles that were granted them.
REVOKE ALL ON FUNCTION make_partition, make_signal_table, describe_columns FROM PUBLIC;

-- migrate:down
-- A system of record goes forward only.
