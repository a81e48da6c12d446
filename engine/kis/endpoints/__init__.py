"""The quotation calls of KIS that we use: one frozen type each, with its TR id and limits.

`params` are the query; `tr_id` may be replaced by the settings' `tr_id` under the name `setting`.
Facts about each call: KIS's portal (apiportal.koreainvestment.com) and its official samples.
"""
