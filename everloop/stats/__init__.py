"""Pure maths on arrays: each result carries its interval and its n."""
