//! Which addresses were told to the guest for which names.

use std::collections::VecDeque;
use std::net::IpAddr;

/// Most pairs that are kept for a guest; the oldest is forgotten, and has to be looked up again. What a guest looks up in a
/// minute is far less, and to search them all takes some microseconds.
const MOST: usize = 4096;

/// Pairs of an address and a name.
#[derive(Default)]
pub(super) struct Known(VecDeque<(IpAddr, String)>);

impl Known {
    /// Keeps that the guest was told this address for the name.
    pub(super) fn add(&mut self, address: IpAddr, name: &str) {
        self.0
            .retain(|(known, its_name)| (*known, its_name.as_str()) != (address, name));
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back((address, name.to_owned()));
    }

    /// Returns the names for which the guest was told the address, the last one last.
    pub(super) fn names(&self, address: IpAddr) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(known, _)| *known == address)
            .map(|(_, name)| name.as_str())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn it_is_bounded_and_forgets_the_oldest() {
        let mut known = Known::default();
        let address =
            |number: usize| IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(number).expect("small")));
        for number in 0..MOST {
            known.add(address(number), "a");
        }
        known.add(address(0), "a");
        known.add(address(0), "b");
        assert_eq!(known.0.len(), MOST);
        assert_eq!(known.names(address(0)), ["a", "b"]);
        assert!(known.names(address(1)).is_empty());
    }
}
