"""Solution of the exercise in 10_what_goes_wrong.md."""


def leaks(train_recipes, dev_recipes):
    """Names of each list as a set, then what both have."""

    def names(recipes):
        return {recipe.background for recipe in recipes} | {recipe.event for recipe in recipes if recipe.has_event}

    return names(train_recipes) & names(dev_recipes)
