"""Writes `customers.csv`, an invented table: which customers of a gym renew their contract, and in which tier."""

import csv
import random
from pathlib import Path

ROWS = 600
PLANS = {"basic": 0, "plus": 6, "pro": 12}
COUNTRIES = ("AT", "CH", "DE", "FR", "IT", "TR")
HEADER = ("customer_id", "age", "plan", "visits", "country", "joined", "tier")


def row(number: int, generator: random.Random) -> tuple[object, ...]:
    """One customer; a few ages and countries are not known."""
    age, visits = generator.randint(18, 80), generator.randint(0, 40)
    plan, country = generator.choice(tuple(PLANS)), generator.choice(COUNTRIES)
    score = visits + PLANS[plan] * (visits > 10) - abs(age - 40) / 4 + 4 * (country == "CH") + generator.gauss(0, 3)
    tier = "gold" if score > 26 else "silver" if score > 11 else "bronze"
    joined = f"20{generator.randint(18, 25)}-{generator.randint(1, 12):02}-{generator.randint(1, 28):02}"
    known = generator.random() > 0.05, generator.random() > 0.03
    return f"C{number:05}", age if known[0] else "", plan, visits, country if known[1] else "", joined, tier


def main() -> None:
    """Write the table, the same on every machine."""
    generator = random.Random(0)
    with Path(__file__).with_name("customers.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(row(number, generator) for number in range(ROWS))


if __name__ == "__main__":
    main()
