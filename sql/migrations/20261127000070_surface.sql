-- migrate:up

-- The smile of each maturity and minute and what is read off it. A strike's own volatility comes and goes
-- with its quotes; the smile's does not.
CREATE TABLE option_surface (
    timestamp         timestamp NOT NULL,
    underlying_symbol text NOT NULL,
    forward           double precision,
    years             double precision,
    smile_theta       double precision,
    smile_rho         double precision,
    smile_psi         double precision,
    atm_volatility    double precision,
    risk_reversal_25d double precision,
    butterfly_25d     double precision,
    error_points      double precision,
    error_ticks       double precision,
    quotes            bigint,
    quality           text,
    arbitrage         text,
    maturities        bigint,
    delta_exposure    double precision,
    gamma_exposure    double precision,
    vanna_exposure    double precision,
    charm_exposure    double precision,
    zero_gamma        double precision,
    call_wall         double precision,
    put_wall          double precision,
    modelled          double precision,
    fetched_at        timestamp NOT NULL,
    committed_at      timestamp NOT NULL,
    PRIMARY KEY (underlying_symbol, timestamp)
);
COMMENT ON TABLE option_surface IS
    'Smiles free of arbitrage and the exposures on them, one row a minute and maturity, and one over all';
COMMENT ON COLUMN option_surface.timestamp IS 'Minute of the snapshots, KST without zone';
COMMENT ON COLUMN option_surface.underlying_symbol IS 'Option chain ({maturity}_{underlying}), or all_{underlying}: of all its maturities';
COMMENT ON COLUMN option_surface.forward IS 'Index points; over all maturities that of the nearest';
COMMENT ON COLUMN option_surface.years IS 'Time to the end of trading, calendar days / 365';
COMMENT ON COLUMN option_surface.smile_theta IS 'Total variance of the smile at the money; NULL without a smile, and over all maturities';
COMMENT ON COLUMN option_surface.smile_rho IS 'Skew of the smile, between -1 and 1';
COMMENT ON COLUMN option_surface.smile_psi IS 'How fast the total variance of the smile grows in the wings';
COMMENT ON COLUMN option_surface.atm_volatility IS 'Volatility of the smile at the forward, % per year';
COMMENT ON COLUMN option_surface.risk_reversal_25d IS '25-delta call minus put of the smile, volatility points';
COMMENT ON COLUMN option_surface.butterfly_25d IS 'Mean of the 25-delta volatilities minus that at the money, volatility points';
COMMENT ON COLUMN option_surface.error_points IS 'Smile against the quotes that it was fitted to, root mean square, volatility points';
COMMENT ON COLUMN option_surface.error_ticks IS 'The same in ticks of the price';
COMMENT ON COLUMN option_surface.quotes IS 'Quotes that the smile was fitted to';
COMMENT ON COLUMN option_surface.quality IS 'good, sparse (few quotes or on one side), stale (old prices only) or none';
COMMENT ON COLUMN option_surface.arbitrage IS 'What a grid of prices finds: butterfly, calendar or both; NULL as it should be';
COMMENT ON COLUMN option_surface.maturities IS 'Maturities that have a smile and a part in the exposures';
COMMENT ON COLUMN option_surface.delta_exposure IS 'Delta of all open contracts, calls long and puts short, KRW';
COMMENT ON COLUMN option_surface.gamma_exposure IS 'Change of delta_exposure per 1 % move of the market, KRW';
COMMENT ON COLUMN option_surface.vanna_exposure IS 'Change of delta_exposure per volatility point, KRW';
COMMENT ON COLUMN option_surface.charm_exposure IS 'Change of delta_exposure per calendar day, KRW';
COMMENT ON COLUMN option_surface.zero_gamma IS 'Forward at which gamma_exposure changes its sign, index points';
COMMENT ON COLUMN option_surface.call_wall IS 'Strike with the largest gamma exposure of calls, index points';
COMMENT ON COLUMN option_surface.put_wall IS 'Strike with the largest gamma exposure of puts, index points';
COMMENT ON COLUMN option_surface.modelled IS 'Share of the open interest that had no volatility of its own';
COMMENT ON COLUMN option_surface.fetched_at IS 'When the snapshots were complete, KST without zone';
COMMENT ON COLUMN option_surface.committed_at IS 'When it was merged, KST without zone';

-- migrate:down
-- A system of record goes forward only.
