"""The tests. A package, so that test modules can write ``from tests.support import ...``."""
