"""Which model looks at which series?"""
