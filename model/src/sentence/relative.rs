//! MPNet's relative positions: distances fall into buckets, exact when near and logarithmic when far.

/// Distances beyond this share the last bucket; fixed in transformers.
const MAX_DISTANCE: f64 = 128.0;

/// Bucket of the key at `key` seen from the query at `query`, among `buckets` (half for keys before, half for keys after).
fn bucket(query: usize, key: usize, buckets: usize) -> i64 {
    let half = buckets / 2;
    let exact = half / 2;
    let distance = query.abs_diff(key);
    let within = if distance < exact {
        distance
    } else {
        // In f32 step by step, as transformers computes it: the truncation must fall on the same side.
        let log = (distance as f32 / exact as f32).ln() / (MAX_DISTANCE / exact as f64).ln() as f32;
        (exact + (log * (half - exact) as f32) as usize).min(half - 1)
    };
    (within + if key > query { half } else { 0 }) as i64
}

/// Buckets of all pairs of `length` positions, `[query, key]` in row-major order.
pub(super) fn buckets(length: usize, buckets: usize) -> Vec<i64> {
    (0..length).flat_map(|query| (0..length).map(move |key| bucket(query, key, buckets))).collect()
}

#[cfg(test)]
mod tests {
    use super::bucket;

    #[test]
    fn near_distances_are_exact_and_far_ones_share_buckets() {
        assert_eq!([0, 1, 7].map(|key| bucket(0, key, 32)), [0, 17, 23]);
        assert_eq!([0, 1, 7].map(|query| bucket(query, 0, 32)), [0, 1, 7]);
        // 8 + floor(8 ln(d / 8) / ln 16)
        assert_eq!([8, 11, 12, 16, 64, 127, 500].map(|query| bucket(query, 0, 32)), [8, 8, 9, 10, 14, 15, 15]);
    }
}
