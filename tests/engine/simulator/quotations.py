"""Queries of every quotation, and the fields that a fetcher of its stream reads."""

from __future__ import annotations

_STOCK = {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": "005930"}
_INDEX = {"FID_COND_MRKT_DIV_CODE": "U", "FID_INPUT_ISCD": "2001"}
_FUTURE = {"FID_COND_MRKT_DIV_CODE": "F", "FID_INPUT_ISCD": "A01612"}
_DATES = {"FID_INPUT_DATE_1": "20261101", "FID_INPUT_DATE_2": "20261118"}
_DAILY = {"FID_PERIOD_DIV_CODE": "D"}
_BARS = {"FID_INPUT_HOUR_1": "120000", "FID_PW_DATA_INCU_YN": "Y"}
QUERIES = {
    "FHKIF03020200": _FUTURE | _BARS | {"FID_INPUT_DATE_1": "20261118", "FID_HOUR_CLS_CODE": "60"},
    "FHKST03010200": _STOCK | _BARS,
    "FHKST03010230": _STOCK | _BARS | {"FID_INPUT_DATE_1": "20261118"},
    "FHPIF05030100": {"FID_COND_MRKT_DIV_CODE": "O", "FID_MTRT_CNT": "202612"},
    "FHPIF05030000": _FUTURE,
    "FHPIF05030200": {"FID_COND_MRKT_DIV_CODE": "F"},
    "FHMIF10000000": _FUTURE,
    "CTCA0903R": {"BASS_DT": "20261118"},
    "FHKST01010100": _STOCK,
    "FHKST01010200": _STOCK,
    "FHKST01010300": _STOCK,
    "FHKST01010400": _STOCK | _DAILY,
    "FHKST03010100": _STOCK | _DATES | _DAILY,
    "FHKST01010900": _STOCK,
    "FHKST11300006": {"FID_COND_MRKT_DIV_CODE_1": "J", "FID_INPUT_ISCD_1": "005930"},
    "FHKST117300C0": {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": "0000"},
    "FHPST01810000": _STOCK,
    "FHPST01840000": _INDEX | {"FID_MKOP_CLS_CODE": "1"},
    "FHPUP02100000": _INDEX,
    "FHKUP03500200": _INDEX | {"FID_INPUT_HOUR_1": "60", "FID_PW_DATA_INCU_YN": "Y"},
    "FHKUP03500100": _INDEX | _DATES | _DAILY,
    "FHPUP02110200": _INDEX | {"FID_INPUT_HOUR_1": "60"},
    "FHPUP02120000": _INDEX | _DAILY | {"FID_INPUT_DATE_1": "20261118"},
    "FHMIF10010000": _FUTURE,
    "FHKIF03020100": _FUTURE | _DATES | _DAILY,
    "FHPIF05110100": _FUTURE,
    "FHPTJ04030000": {"FID_INPUT_ISCD": "KSP", "FID_INPUT_ISCD_2": "0001"},
    "FHPTJ04040000": _INDEX | {"FID_INPUT_DATE_1": "20261118", "FID_INPUT_ISCD_1": "KSP"},
    "FHPPG04600101": {"FID_COND_MRKT_DIV_CODE": "J", "FID_MRKT_CLS_CODE": "K"},
    "FHPPG04600001": {"FID_COND_MRKT_DIV_CODE": "J", "FID_MRKT_CLS_CODE": "K"} | _DATES,
    "CTPF1604R": {"PDNO": "005930", "PRDT_TYPE_CD": "300"},
    "CTPF1002R": {"PDNO": "005930", "PRDT_TYPE_CD": "300"},
}
EXPECTED_FIELDS = {
    ("FHKIF03020200", "output1"): {
        "futs_mxpr",
        "futs_llam",
        "hts_otst_stpl_qty",
        "otst_stpl_qty_icdc",
        "basis",
        "hts_thpr",
        "dprt",
        "kospi200_nmix",
    },
    ("FHMIF10010000", "output2"): {
        *(f"futs_{side}p{n}" for side in ("ask", "bid") for n in range(1, 6)),
        *(
            f"{side}p_{what}{n}"
            for side in ("ask", "bid")
            for what in ("rsqn", "csnu")
            for n in (1, 5)
        ),
        "aspr_acpt_hour",
    },
    ("FHKUP03500200", "output2"): {
        "stck_bsop_date",
        "stck_cntg_hour",
        "bstp_nmix_oprc",
        "bstp_nmix_hgpr",
        "bstp_nmix_lwpr",
        "bstp_nmix_prpr",
        "cntg_vol",
        "acml_tr_pbmn",
    },
    ("FHPTJ04030000", "output"): {
        f"{kind}_{flow}"
        for kind in ("frgn", "prsn", "orgn", "scrt", "ivtr", "bank", "insu", "mrbn", "fund")
        for flow in (
            "seln_vol",
            "shnu_vol",
            "ntby_qty",
            "seln_tr_pbmn",
            "shnu_tr_pbmn",
            "ntby_tr_pbmn",
        )
    },
    ("FHPPG04600101", "output"): {
        "bsop_hour",
        "arbt_smtn_seln_tr_pbmn",
        "nabt_smtn_shnu_tr_pbmn",
        "whol_smtn_ntby_tr_pbmn",
    },
    ("FHKST11300006", "output"): {
        "inter_shrn_iscd",
        "inter2_prpr",
        "acml_vol",
        "acml_tr_pbmn",
        "inter2_askp",
        "inter2_bidp",
    },
    ("FHPIF05110100", "output2"): {"stck_cntg_hour", "futs_antc_cnpr"},
    ("FHKST01010400", "output"): {"stck_bsop_date", "stck_clpr", "acml_vol"},
    ("FHKST03010100", "output2"): {"stck_bsop_date", "stck_clpr", "acml_vol", "acml_tr_pbmn"},
}


def query_of(tr_id: str) -> dict[str, str]:
    """Return a query that the quotation answers with rows."""
    return QUERIES.get(tr_id, {})
