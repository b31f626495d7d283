"""What holds for every test: a slow machine is no reason to fail."""

from hypothesis import HealthCheck, settings

settings.register_profile("house", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")
