//! What registries say, before a fuzzer.

use super::Challenge;

/// Challenges: any header gives a list of bounded length.
pub(crate) fn challenge(data: &[u8]) {
    let header = String::from_utf8_lossy(data);
    let challenges = Challenge::parse_all(&header);
    assert!(challenges.len() <= header.len());
    for challenge in challenges {
        assert!(!challenge.scheme.is_empty());
        let realm = challenge.parameter("realm").unwrap_or_default();
        assert!(realm.len() <= header.len());
    }
}
