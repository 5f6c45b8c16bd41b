"""The marketplace: invoices that their buyers confirmed, financed by investors, repaid by the buyers' payments.

The rules are pure (`rounding`, `calendar`, `pricing`, `yields`, `auction`, `waterfall`, `projections`): they take
values and return values. The modules that touch the database call them and post what they say.
"""
