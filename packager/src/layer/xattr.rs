//! Extended attributes of one node, in the form in which an index holds them.
//!
//! For each attribute, sorted by name: `u16` length of the name, `u32` length of the value, name, value.

use std::ops::ControlFlow;

use super::error::IndexError;

/// Encodes attributes, whose lengths have been checked. `None` if there are none.
pub(super) fn encode<'a>(
    attributes: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Option<Box<[u8]>> {
    let mut bytes = Vec::new();
    for (name, value) in attributes {
        bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(value);
    }
    (!bytes.is_empty()).then(|| bytes.into_boxed_slice())
}

/// The extended attributes of a node, by name in byte order.
///
/// Ends after the first error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xattrs<'a> {
    node: u32,
    bytes: &'a [u8],
}

impl<'a> Xattrs<'a> {
    pub(super) fn new(node: u32, bytes: &'a [u8]) -> Self {
        Self { node, bytes }
    }

    /// The encoded form, to be copied from one index to another.
    pub(super) fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the value of one attribute.
    pub fn get(mut self, name: &[u8]) -> Result<Option<&'a [u8]>, IndexError> {
        let found = self.try_for_each(|attribute| match attribute {
            Ok((key, value)) if key == name => ControlFlow::Break(Ok(value)),
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Err(error)),
        });
        found.break_value().transpose()
    }

    fn split(&self) -> Option<(&'a [u8], &'a [u8], &'a [u8])> {
        let (name_len, rest) = self.bytes.split_first_chunk::<2>()?;
        let (value_len, rest) = rest.split_first_chunk::<4>()?;
        let (name, rest) = rest.split_at_checked(u16::from_le_bytes(*name_len).into())?;
        let value_len = usize::try_from(u32::from_le_bytes(*value_len)).ok()?;
        let (value, rest) = rest.split_at_checked(value_len)?;
        Some((name, value, rest))
    }
}

impl<'a> Iterator for Xattrs<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let Some((name, value, rest)) = self.split() else {
            self.bytes = &[];
            return Some(Err(IndexError::Node {
                node: self.node,
                field: "extended attribute",
            }));
        };
        self.bytes = rest;
        Some(Ok((name, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let pairs = [(&b"user.a"[..], &b"\0\n"[..]), (b"user.b", b"")];
        let bytes = encode(pairs.into_iter()).expect("not empty");
        let read: Vec<_> = Xattrs::new(0, &bytes)
            .collect::<Result<_, _>>()
            .expect("well formed");
        assert_eq!(read, pairs);
        assert_eq!(Xattrs::new(0, &bytes).get(b"user.b"), Ok(Some(&b""[..])));
        assert_eq!(Xattrs::new(0, &bytes).get(b"user.c"), Ok(None));
        assert_eq!(encode([].into_iter()), None);
    }

    #[test]
    fn damage_ends_the_walk() {
        let bytes = encode([(&b"user.a"[..], &b"value"[..])].into_iter()).expect("not empty");
        for cut in 1..bytes.len() {
            let walk: Vec<_> = Xattrs::new(7, &bytes[..cut]).collect();
            assert_eq!(
                walk,
                [Err(IndexError::Node {
                    node: 7,
                    field: "extended attribute"
                })]
            );
        }
    }
}
