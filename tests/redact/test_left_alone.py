"""What must stay: numbers of other kinds, prose about secrets, code."""

import pytest

from everloop.redact import redact

LEFT = """
Order 4155550100 was placed
order number 123456789012
Invoice 2024-000123456
call about my order 12345678
ticket #00123456789
on 2024-01-15 10:30:00 and 15.01.2024 10:30
between 01/02/2024 and 03/04/2024
2024-01-15T10:30:00.123456Z
from 2019-2020 to 2021-2022
call me 2019-2020
it costs 1,234,567.89 or 1 500 000 EUR
+5 points, +100%, +1 500 000
version 10.2.3.4 and v1.2.3.4
Chrome/120.0.0.0 Safari/537.36
listening on 127.0.0.1:8080 and 0.0.0.0
mask 255.255.255.0
probability 0.4111111111111111 and 0,4111111111111111
timestamp 1694012345678, 1694012345, 1694012345678901234
550e8400-e29b-41d4-a716-446655440000
sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
ISBN 978-0-306-40615-7
4111 1111 1111 1112
GB82 WEST 1234 5698 7654 33
000-12-3456 and 666-12-3456 and 900-12-3456 and 123-00-4567 and 123-45-0000
std::vector a::b fe::add 12:30:45
00:1a:2b:3c:4d:5e
react@18.2.0 and logo@2x.png and @ada and a@b
git@github.com:ada/engine.git
x = A@B.T
password: required
Password must have eight characters
I forgot my password and my token
password = os.environ["DB_PASSWORD"]
password=getpass() token=${TOKEN} secret=<your-secret>
password=None
max_tokens=4096 tokens: 123456
sk-learn-is-not-a-key-but-a-slug
Bearer authentication
monkey=banana123
12345-6789 is a postcode
10 20 30 40 50 60 70 80 90 100
lat 52.520008, lon 13.404954
1/2/3 and 3-4-5 and 10-20-30
1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3
Ada Lovelace of 12 St James's Square, London
""".strip().splitlines()


@pytest.mark.parametrize("text", LEFT)
def test_left_alone(text: str) -> None:
    assert redact(text) == (text, {}, ())
