"""Fences put by the API, merged with the zones of the files. A zone of a file counts before a fence of the same id."""

import threading
from collections.abc import Sequence
from dataclasses import replace

import structlog

from proximity.configuration import Configuration, catalog_of
from proximity.presence.approach import Reaches
from proximity.presence.dwells import Thresholds
from proximity.site.model import Site, Zone
from proximity.store import fences
from proximity.store.database import Store

Heeded = tuple[Thresholds, Reaches]  # what presence has to tell for rules
log = structlog.get_logger(__name__)


class FenceBook:
    """All fences, by site and id. `changing` is held by whoever changes them until the change is in force."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._zones: dict[str, dict[str, Zone]] = {}
        self.changing = threading.RLock()
        for zone in fences.everything(store):
            self._zones.setdefault(zone.site, {})[zone.id] = zone

    def change(self, site: str, put: Sequence[Zone], remove: Sequence[str], at: float) -> int:
        """Store fences, take some away, and know that from now on; how many were taken away. A fence that is as it was
        stays the same value."""
        fences.put(self._store, put, at)
        removed = fences.remove(self._store, site, remove) if remove else 0
        known = self._zones.setdefault(site, {})
        for zone in put:
            if known.get(zone.id) != zone:
                known[zone.id] = zone
        for name in remove:
            known.pop(name, None)
        return removed

    def merged(self, configuration: Configuration) -> Configuration:
        """The configuration with the fences of its sites; fences of other sites wait for theirs."""
        if not any(self._zones.get(site.id) for site in configuration.sites):
            return configuration
        sites = tuple(self._with_fences(site) for site in configuration.sites)
        ruleset = replace(configuration.ruleset, catalog=catalog_of(sites, configuration.ruleset.catalog.attributes))
        return replace(configuration, sites=sites, ruleset=ruleset)

    def heeded(
        self, configuration: Configuration, before: Heeded, site: str, put: Sequence[Zone], remove: Sequence[str]
    ) -> Heeded:
        """What rules listen to after a change of fences, from what they listened to before it: only rules on the
        changed ones are asked."""
        changed = {(site, name) for name in remove} | {(site, zone.id) for zone in put}
        sites = [replace(one, zones=tuple(put)) for one in configuration.sites if one.id == site]
        rules = replace(configuration.ruleset, catalog=catalog_of(sites, configuration.ruleset.catalog.attributes))
        thresholds = {place: times for place, times in before[0].items() if place not in changed}
        reaches = {place: names for place, names in before[1].items() if place not in changed}
        thresholds.update((place, times) for place, times in rules.thresholds().items() if place in changed)
        reaches.update((place, names) for place, names in rules.reaches().items() if place in changed)
        return thresholds, reaches

    def _with_fences(self, site: Site) -> Site:
        own = self._zones.get(site.id, {})
        hidden = sorted(own.keys() & {zone.id for zone in site.zones})
        if hidden:
            log.warning("fences are not in force: zones.geojson has zones of these ids", site=site.id, fences=hidden)
        more = tuple([own[name] for name in own if name not in hidden] if hidden else own.values())
        return replace(site, zones=site.zones + more) if more else site
