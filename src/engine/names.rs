//! Names for containers that were given none.

const MANNERS: [&str; 48] = [
    "able", "agile", "amber", "bold", "brave", "brisk", "calm", "candid", "clear", "clever",
    "coral", "crisp", "dapper", "deft", "eager", "early", "fair", "fleet", "fond", "frank",
    "gentle", "glad", "golden", "hardy", "honest", "jolly", "keen", "kind", "light", "lively",
    "loyal", "lucid", "mellow", "merry", "mild", "neat", "nimble", "patient", "plucky", "quiet",
    "rapid", "ready", "serene", "silver", "steady", "sunny", "tidy", "wise",
];

const CRAFT: [&str; 48] = [
    "barge", "beacon", "bittern", "brook", "buoy", "canoe", "catboat", "cove", "curlew", "current",
    "cutter", "delta", "dinghy", "dipper", "eddy", "egret", "estuary", "ferry", "fjord", "gull",
    "harbour", "heron", "inlet", "jetty", "kayak", "ketch", "lagoon", "lugger", "mallard", "oar",
    "otter", "paddle", "pelican", "petrel", "pier", "plover", "punt", "raft", "reed", "rudder",
    "sail", "skiff", "sloop", "swan", "tern", "tide", "wharf", "yawl",
];

/// Makes a name such as `calm_heron_3f0a` from four random bytes. The digits keep thousands of containers apart.
pub(super) fn random(bytes: [u8; 4]) -> String {
    let pick = |list: &[&'static str; 48], byte: u8| list[usize::from(byte) % list.len()];
    format!(
        "{}_{}_{:02x}{:02x}",
        pick(&MANNERS, bytes[0]),
        pick(&CRAFT, bytes[1]),
        bytes[2],
        bytes[3]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_name_is_a_container_name() {
        for byte in 0..=u8::MAX {
            let name = random([byte, byte.wrapping_mul(7), byte, byte]);
            assert!(
                name.parse::<coracle_runtime::container::Name>().is_ok(),
                "{name}"
            );
        }
    }
}
