"""Pulling what a provider lists: runs, their schedule, and how complete webhooks were."""
