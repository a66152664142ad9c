"""Recipes → features on disk → minibatches."""
