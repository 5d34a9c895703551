use serde::Serialize;
use serde_json::{Map, Value};

/// Writes a value as JSON whose bytes depend on the value only: object keys sorted by byte at every depth, no spaces.
///
/// # Panics
///
/// If the type cannot be JSON: a map with keys that are no strings. The types of this crate can.
pub fn canonical_json<T: Serialize>(value: &T) -> Vec<u8> {
    let value = serde_json::to_value(value).expect("the types of the image model are JSON");
    serde_json::to_vec(&sorted(value)).expect("a JSON value can be written")
}

/// Sorts explicitly: whether `serde_json`'s own map is sorted depends on a feature that any crate may switch on.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().collect();
            entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            let entries = entries.into_iter().map(|(key, value)| (key, sorted(value)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_order_of_a_hash_map_does_not_show() {
        let text = |round: usize| {
            // A new map has a new random seed, and another order of insertion.
            let mut map: HashMap<String, HashMap<String, usize>> = HashMap::new();
            for i in 0..50 {
                let i = (i + round) % 50;
                map.entry(format!("k{}", i % 7))
                    .or_default()
                    .insert(format!("n{i}"), i);
            }
            canonical_json(&vec![map])
        };
        let first = text(0);
        for round in 1..50 {
            assert_eq!(text(round), first);
        }
        assert!(first.starts_with(br#"[{"k0":{"n0":0,"n14":14,"n21":21"#));
    }
}
