"""The quotation calls of KIS that we use: one frozen type each, with its TR id and limits.

`params` returns the query. The settings may name another TR id, in `tr_id` under the name
`setting`. The facts about each call are from KIS's portal (apiportal.koreainvestment.com) and its
official samples.
"""
