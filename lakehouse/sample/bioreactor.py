"""A fed-batch run of a recombinant E. coli process, as a set of equations.

What belongs here: the process without any probe: what temperature, pH, oxygen, stirrer, feed and product really were.
What does not: noise, gaps, rows or files (:mod:`lakehouse.sample.signals`, :mod:`lakehouse.sample.writer`). Pure: equal
recipes give equal profiles, nothing is read or written.

The rules are those of textbooks: Doran, *Bioprocess Engineering Principles* (2nd ed. 2013), ch. 10, 12 and 14; Shuler
and Kargi, *Bioprocess Engineering* (2nd ed. 2002), ch. 6 and 9; and the papers named at each function. All runs of a
block advance together, one array element per run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lakehouse.sample.parameters import PARAMETERS

Floats = NDArray[np.float64]

STEP_SECONDS = 30.0
_STEP_HOURS = STEP_SECONDS / 3600.0

GROWTH_TEMPERATURE = 37.0  # °C, also where the oxygen probe is calibrated
PRODUCTION_TEMPERATURE = 30.0  # °C after the shift: slower growth, soluble product
HARVEST_TEMPERATURE = 22.0  # °C the broth is cooled to before it leaves the reactor
PH_SETPOINT = 6.9
PH_DEAD_BAND = 0.05  # neither acid nor base is dosed closer to the set point than this
DO_SETPOINT = 30.0  # % of air saturation, held by the stirrer
AGITATION_MIN, AGITATION_MAX = 300.0, 1200.0  # rpm
FEED_MAX = 60.0  # mL/h, limit of the pump

_SATURATION = 0.0069  # g O2 per litre at 37 °C and one bar of air
_KLA_AT_1000_RPM = 550.0  # 1/h
_YIELD_BIOMASS_GLUCOSE = 0.45  # g/g
_YIELD_BIOMASS_OXYGEN = 1.3  # g/g
_MAINTENANCE_GLUCOSE = 0.025  # g per g biomass and hour
_MAINTENANCE_OXYGEN = 0.02  # g per g biomass and hour
_MONOD_CONSTANT = 0.05  # g/L
_FEED_GLUCOSE = 500.0  # g/L
_TITRE_LIMIT = 14.0  # g/L at which product formation stops
_STATIONARY_HOURS, _HARVEST_HOURS = 2.5, 0.6  # before the end of the run


@dataclass(frozen=True, slots=True)
class Recipes:
    """What differs between runs; each field has one element per run.

    Attributes:
        duration: hours from inoculation to the emptied reactor.
        growth_rate: largest specific growth rate at 37 °C, 1/h.
        lag: hours until the cells have adapted.
        inoculum: biomass at the start, g/L.
        glucose: batch glucose, g/L.
        feed_growth_rate: the growth rate the exponential feed is set for, 1/h.
        feed_delay: hours between running out of glucose and starting the pump (the oxygen spike is seen in between).
        shift: hours from inoculation to the temperature shift and induction.
        productivity: product formed per g biomass and hour after induction, not tied to growth, g/(g·h).
    """

    duration: Floats
    growth_rate: Floats
    lag: Floats
    inoculum: Floats
    glucose: Floats
    feed_growth_rate: Floats
    feed_delay: Floats
    shift: Floats
    productivity: Floats


@dataclass(frozen=True, slots=True)
class Profiles:
    """What happened in each run, every :data:`STEP_SECONDS`.

    Attributes:
        values: array (run, step, parameter), parameters in the order of ``PARAMETERS``.
        feed_start: hours from inoculation to the first feed, per run.
    """

    values: Floats
    feed_start: Floats


def draw_recipes(generators: list[np.random.Generator]) -> Recipes:
    """Draw one recipe from each generator: the spread between runs of one process."""
    bounds = {
        "duration": (14.5, 17.5),
        "growth_rate": (0.57, 0.65),
        "lag": (0.6, 1.2),
        "inoculum": (0.2, 0.3),
        "glucose": (9.0, 11.0),
        "feed_growth_rate": (0.20, 0.25),
        "feed_delay": (0.15, 0.35),
        "shift": (9.5, 10.5),
        "productivity": (0.045, 0.07),
    }
    low, high = np.array(list(bounds.values())).T
    drawn = np.array([generator.uniform(low, high) for generator in generators])
    return Recipes(**dict(zip(bounds, drawn.T, strict=True)))


def simulate(recipes: Recipes) -> Profiles:
    """Advance all runs from inoculation to the end of the longest one (Euler steps of 30 s).

    Mass balances of a fed-batch reactor (Doran ch. 14.5.3): biomass, glucose and product are diluted by the feed,
    volume grows by it.
    """
    runs = len(recipes.duration)
    steps = int(np.ceil(recipes.duration.max() * 3600.0 / STEP_SECONDS)) + 2
    values = np.empty((runs, steps, len(PARAMETERS)))

    biomass, glucose = recipes.inoculum.copy(), recipes.glucose.copy()
    volume, product = np.full(runs, 3.0), np.zeros(runs)
    temperature = np.full(runs, GROWTH_TEMPERATURE - 1.2)  # the inoculum is colder than the reactor
    ph, dosing = np.full(runs, PH_SETPOINT + 0.04), np.zeros(runs)
    do, agitation = np.full(runs, 99.0), np.full(runs, AGITATION_MIN)
    empty_since, feed_start = np.full(runs, np.inf), np.full(runs, np.inf)
    first_feed, feed_at_shift = np.zeros(runs), np.zeros(runs)

    for step in range(steps):
        hours = step * _STEP_HOURS
        induced = hours >= recipes.shift
        harvest = hours >= recipes.duration - _HARVEST_HOURS

        # The pump starts some minutes after glucose ran out, at the rate that the biomass then needs.
        empty_since = np.where((glucose < 0.01) & np.isinf(empty_since), hours, empty_since)
        starts = np.isinf(feed_start) & (hours >= empty_since + recipes.feed_delay)
        feed_start = np.where(starts, hours, feed_start)
        first_feed = np.where(starts, exponential_feed(recipes.feed_growth_rate, biomass, volume), first_feed)
        feed = _feed(recipes, hours, feed_start, first_feed, feed_at_shift)
        feed_at_shift = np.where(induced, feed_at_shift, feed)
        litres_per_hour = feed / 1000.0

        supply = litres_per_hour * _FEED_GLUCOSE / volume
        growth, uptake = _metabolism(recipes, hours, biomass, glucose, temperature, supply)
        formed = induced * luedeking_piret(growth, biomass, recipes.productivity) * (1.0 - product / _TITRE_LIMIT)

        demand = growth / _YIELD_BIOMASS_OXYGEN + _MAINTENANCE_OXYGEN * biomass * (uptake > 0)
        do += (dissolved_oxygen(demand, agitation, temperature) - do) * (1.0 - np.exp(-STEP_SECONDS / 40.0))
        agitation = np.clip(agitation + 1.5 * (DO_SETPOINT - do), AGITATION_MIN, AGITATION_MAX)
        ph, dosing = _control_ph(ph, dosing, growth, starving=uptake <= 0)
        temperature += (_temperature_setpoint(recipes, induced, harvest) - temperature) * (_STEP_HOURS / 0.12)

        values[:, step, :] = np.stack((temperature, ph, do, agitation, feed, product), axis=1)

        dilution = litres_per_hour / volume
        biomass += (growth - dilution * biomass) * _STEP_HOURS
        glucose = np.maximum(glucose + (supply - uptake - dilution * glucose) * _STEP_HOURS, 0.0)
        product += (formed - dilution * product) * _STEP_HOURS
        volume += litres_per_hour * _STEP_HOURS
    return Profiles(values, feed_start)


def monod(glucose: Floats) -> Floats:
    """Share of the largest growth rate that this much glucose (g/L) allows: S / (Ks + S) (Monod 1949)."""
    return glucose / (_MONOD_CONSTANT + glucose)


def adaptation(hours: float, lag: Floats, growth_rate: Floats) -> Floats:
    """Share of the growth rate after inoculation, a logistic curve (Baranyi and Roberts 1994, eq. 6)."""
    return 1.0 / (1.0 + np.expm1(growth_rate * lag) * np.exp(-growth_rate * hours))


def temperature_effect(temperature: Floats) -> Floats:
    """Growth rate relative to 37 °C: the square-root law ((T - Tmin) / (37 - Tmin))² (Ratkowsky et al. 1982)."""
    return ((temperature - 5.0) / (GROWTH_TEMPERATURE - 5.0)) ** 2


def exponential_feed(growth_rate: Floats, biomass: Floats, volume: Floats) -> Floats:
    """Feed in mL/h that sustains a growth rate: F = µ·X·V / (Yxs·Sf) (Doran eq. 14.5.3; maintenance left out)."""
    return 1000.0 * growth_rate * biomass * volume / (_YIELD_BIOMASS_GLUCOSE * _FEED_GLUCOSE)


def luedeking_piret(growth: Floats, biomass: Floats, productivity: Floats) -> Floats:
    """Product formed, g/(L·h): a part tied to growth and a part tied to biomass (Luedeking and Piret 1959)."""
    return 0.12 * growth + productivity * biomass


def dissolved_oxygen(demand: Floats, agitation: Floats, temperature: Floats) -> Floats:
    """Oxygen in % of air saturation at 37 °C where transfer meets demand (g/(L·h)): kLa·(C* - C) = OUR.

    kLa rises with the stirrer as N^1.2: power goes with N³ and kLa with power^0.4 (Van 't Riet 1979). Cold broth holds
    more oxygen (about 1.8 % per °C), so a cooled reactor reads above 100 %.
    """
    transfer = _KLA_AT_1000_RPM * (agitation / 1000.0) ** 1.2
    saturation = _SATURATION * np.exp(-0.0177 * (temperature - GROWTH_TEMPERATURE))
    return np.maximum(saturation - demand / transfer, 0.0) / _SATURATION * 100.0


def _metabolism(
    recipes: Recipes, hours: float, biomass: Floats, glucose: Floats, temperature: Floats, supply: Floats
) -> tuple[Floats, Floats]:
    """Growth and glucose uptake, both g/(L·h); uptake never exceeds what is there (maintenance: Pirt 1965)."""
    rate = recipes.growth_rate * adaptation(hours, recipes.lag, recipes.growth_rate) * temperature_effect(temperature)
    wanted = (rate * monod(glucose) / _YIELD_BIOMASS_GLUCOSE + _MAINTENANCE_GLUCOSE * (glucose > 0)) * biomass
    # Where feed limits growth, Monod's curve is far too steep for a 30 s step: cells take up all that arrives.
    limited = np.minimum(rate / _YIELD_BIOMASS_GLUCOSE * biomass, supply + glucose / _STEP_HOURS)
    uptake = np.where(supply > 0, limited, np.minimum(wanted, glucose / _STEP_HOURS))
    growth = np.maximum(uptake - _MAINTENANCE_GLUCOSE * biomass, 0.0) * _YIELD_BIOMASS_GLUCOSE
    return growth, uptake


def _feed(recipes: Recipes, hours: float, start: Floats, first: Floats, at_shift: Floats) -> Floats:
    """Feed in mL/h: exponential up to the shift, then held at 90 %, a third when stationary, nothing at harvest."""
    fed = np.maximum(hours - start, 0.0)
    feed = np.minimum(first * np.exp(recipes.feed_growth_rate * fed), FEED_MAX)
    feed = np.where(hours >= recipes.shift, 0.9 * at_shift, feed)
    feed = np.where(hours >= recipes.duration - _STATIONARY_HOURS, 0.3 * at_shift, feed)
    on = (hours >= start) & (hours < recipes.duration - _HARVEST_HOURS)
    return np.where(on, feed, 0.0)


def _temperature_setpoint(recipes: Recipes, induced: NDArray[np.bool_], harvest: NDArray[np.bool_]) -> Floats:
    growing = np.full(len(recipes.duration), GROWTH_TEMPERATURE)
    return np.where(harvest, HARVEST_TEMPERATURE, np.where(induced, PRODUCTION_TEMPERATURE, growing))


def _control_ph(ph: Floats, dosing: Floats, growth: Floats, *, starving: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """One step of pH and of the pumps (+1 base, -1 acid, 0 none).

    Growth on glucose acidifies (ammonium is taken up, protons stay), starving cells release ammonia. A pump starts
    outside the dead band and stops at the set point (two-position control with hysteresis).
    """
    deviation = ph - PH_SETPOINT
    dosing = np.where(deviation < -PH_DEAD_BAND, 1.0, np.where(deviation > PH_DEAD_BAND, -1.0, dosing))
    dosing = np.where(dosing * deviation >= 0, 0.0, dosing)
    ph = ph + (-0.2 * growth + 0.4 * starving) * _STEP_HOURS + 0.02 * dosing
    return ph, dosing
