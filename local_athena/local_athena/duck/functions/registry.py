"""The allow-list: every function a query may call, by name. What is not here does not reach DuckDB."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache

from local_athena.duck.functions import aggregate, arrays, json, maps, math, text, time
from local_athena.duck.functions.signatures import Signature

# Functions of Trino's that have no counterpart here: refused by name rather than called unknown.
KNOWN_BUT_MISSING = frozenset(
    """
    approx_most_frequent approx_set array_cum_sum auth_group beta_cdf bing_tile bing_tile_at checksum
    classify color combinations contains_sequence convex_hull_agg cosine_similarity crc32 current_groups
    dot_product empty_approx_set entropy evaluate_classifier_predictions features fail from_big_endian_32
    from_big_endian_64 from_encoded_polyline from_geojson_geometry from_ieee754_32 from_ieee754_64
    from_iso8601_timestamp_nanos from_unixtime_nanos geometry_from_text geometry_to_text
    great_circle_distance hash_counts hmac_md5 hmac_sha1 hmac_sha256 hmac_sha512
    intersection_cardinality inverse_beta_cdf inverse_normal_cdf jaccard_index json_exists json_query
    json_value learn_classifier learn_regressor line_locate_point make_set_digest merge merge_set_digest
    murmur3 normal_cdf numeric_histogram parse_data_size parse_presto_data_size qdigest_agg
    quantile_at_value reduce_agg regress render rgb sha512 shuffle simplify_geometry soundex
    spatial_partitioning spooky_hash_v2_32 spooky_hash_v2_64 st_area st_asbinary st_astext st_buffer
    st_centroid st_contains st_distance st_geometryfromtext st_intersects st_length st_point st_polygon
    st_within tdigest_agg to_big_endian_32 to_big_endian_64 to_geometry to_ieee754_32 to_ieee754_64
    value_at_quantile values_at_quantiles wilson_interval_lower wilson_interval_upper word_stem xxhash64
    """.split()  # noqa: SIM905  # a paragraph reads better than a hundred lines
)


@lru_cache(maxsize=1)
def registry() -> dict[str, list[Signature]]:
    """All signatures by name, in the order in which they are tried."""
    found: dict[str, list[Signature]] = defaultdict(list)
    for module in (math, text, json, time, arrays, maps):
        for one in module.signatures():
            found[one.name].append(one)
    for one in aggregate.aggregates() + aggregate.windows():
        found[one.name].append(one)
    return dict(found)
