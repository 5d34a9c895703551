//! The box that cosign keeps a private key in: scrypt makes a key of the password, NaCl's secretbox encrypts with it.
//!
//! The form is that of <https://github.com/secure-systems-lab/go-securesystemslib> (`encrypted`), JSON in which byte strings
//! are Base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit as _;
use ring::rand::{SecureRandom as _, SystemRandom};
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit as _, StreamCipher as _};
use serde::{Deserialize, Serialize};

use super::KeyError;
use crate::registry::Secret;

const SCRYPT: &str = "scrypt";
const SECRETBOX: &str = "nacl/secretbox";
/// The cost that every version of cosign and of Podman accepts (32,768: 32 MiB, a tenth of a second).
const LOG_N: u8 = 15;
/// The highest that is accepted of a file: some 256 MiB. Later versions of cosign take 16 or 17.
const LOG_N_LIMIT: u32 = 18;
/// The only block size that cosign writes.
const R: u32 = 8;
/// The only parallelism.
const P: u32 = 1;
const SALT: usize = 32;
const KEY: usize = 32;
const NONCE: usize = 24;
const TAG: usize = 16;

#[derive(Serialize, Deserialize)]
pub(super) struct Sealed {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Serialize, Deserialize)]
struct Kdf {
    name: String,
    params: Costs,
    salt: String,
}

#[derive(Serialize, Deserialize)]
struct Costs {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Serialize, Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

impl Sealed {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        serde_json::from_slice(bytes).map_err(|_| KeyError::Sealing {
            problem: "it is not the JSON that cosign writes",
        })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are JSON")
    }

    /// Puts bytes into a box.
    pub(super) fn seal(plain: &[u8], password: &Secret) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let (mut salt, mut nonce) = ([0; SALT], [0; NONCE]);
        for bytes in [&mut salt[..], &mut nonce[..]] {
            random.fill(bytes).map_err(|_| KeyError::Making {
                problem: "the system gives no random numbers",
            })?;
        }
        let key = derive(password, &salt, LOG_N)?;
        Ok(Self {
            kdf: Kdf {
                name: SCRYPT.to_owned(),
                params: Costs {
                    n: 1 << LOG_N,
                    r: R,
                    p: P,
                },
                salt: STANDARD.encode(salt),
            },
            cipher: Cipher {
                name: SECRETBOX.to_owned(),
                nonce: STANDARD.encode(nonce),
            },
            ciphertext: STANDARD.encode(close(plain, &key, &nonce)),
        })
    }

    /// Takes the bytes out of the box.
    pub(super) fn open(&self, password: &Secret) -> Result<Vec<u8>, KeyError> {
        let wrong = |problem| KeyError::Sealing { problem };
        if self.kdf.name != SCRYPT || self.cipher.name != SECRETBOX {
            return Err(wrong("it is of another kind than cosign's"));
        }
        let Costs { n, r, p } = self.kdf.params;
        let log_n = n.trailing_zeros();
        // A file must not decide how much memory it takes to find out that it is wrong.
        if !n.is_power_of_two() || !(1..=LOG_N_LIMIT).contains(&log_n) || (r, p) != (R, P) {
            return Err(wrong("it asks for more or other work than cosign's do"));
        }
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| wrong("it is not Base64"));
        let salt = decode(&self.kdf.salt)?;
        let nonce: [u8; NONCE] = decode(&self.cipher.nonce)?
            .try_into()
            .map_err(|_| wrong("its nonce has another length than 24 bytes"))?;
        let key = derive(password, &salt, log_n as u8)?;
        open(&decode(&self.ciphertext)?, &key, &nonce).ok_or(KeyError::Password)
    }
}

fn derive(password: &Secret, salt: &[u8], log_n: u8) -> Result<[u8; KEY], KeyError> {
    let work = KeyError::Making {
        problem: "scrypt does not take these parameters",
    };
    let params = scrypt::Params::new(log_n, R, P).map_err(|_| work.clone())?;
    let mut key = [0; KEY];
    scrypt::scrypt(password.reveal().as_bytes(), salt, &params, &mut key).map_err(|_| work)?;
    Ok(key)
}

/// Encrypts as `crypto_secretbox`: the tag, then the text. The key stream's first 32 bytes are Poly1305's key.
fn close(plain: &[u8], key: &[u8; KEY], nonce: &[u8; NONCE]) -> Vec<u8> {
    let mut stream = XSalsa20::new(key.into(), nonce.into());
    let mut tag_key = [0; KEY];
    stream.apply_keystream(&mut tag_key);
    let mut text = plain.to_vec();
    stream.apply_keystream(&mut text);
    let tag = Poly1305::new((&tag_key).into()).compute_unpadded(&text);
    [tag.as_slice(), &text].concat()
}

fn open(sealed: &[u8], key: &[u8; KEY], nonce: &[u8; NONCE]) -> Option<Vec<u8>> {
    let (tag, text) = sealed.split_at_checked(TAG)?;
    let mut stream = XSalsa20::new(key.into(), nonce.into());
    let mut tag_key = [0; KEY];
    stream.apply_keystream(&mut tag_key);
    let want = Poly1305::new((&tag_key).into()).compute_unpadded(text);
    // Every byte is looked at, wherever the first difference is.
    let differs = tag
        .iter()
        .zip(want.as_slice())
        .fold(0, |differs, (a, b)| differs | (a ^ b));
    if differs != 0 {
        return None;
    }
    let mut plain = text.to_vec();
    stream.apply_keystream(&mut plain);
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that comes with NaCl (`tests/secretbox.c`, <https://nacl.cr.yp.to/secretbox.html>).
    #[test]
    fn the_box_is_nacls() {
        let hex = |text: &str| -> Vec<u8> {
            let digits: Vec<u8> = text
                .bytes()
                .filter(u8::is_ascii_hexdigit)
                .map(|digit| char::from(digit).to_digit(16).expect("a digit") as u8)
                .collect();
            digits
                .chunks(2)
                .map(|pair| pair[0] << 4 | pair[1])
                .collect()
        };
        let key = hex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389");
        let nonce = hex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37");
        let plain = hex(
            "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c0123 \
             3561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd49 \
             24ca1c60902e52f0a089bc76897040e082f937763848645e0705",
        );
        let (key, nonce) = (
            key.try_into().expect("32 bytes"),
            nonce.try_into().expect("24 bytes"),
        );
        let sealed = close(&plain, &key, &nonce);
        assert_eq!(sealed[..TAG], hex("f3ffc7703f9400e52a7dfb4b3d3305d9"));
        assert_eq!(sealed[TAG..TAG + 8], hex("8e993b9f48681273"));
        assert_eq!(open(&sealed, &key, &nonce), Some(plain));
        let mut other = sealed.clone();
        other[20] ^= 1;
        assert_eq!(open(&other, &key, &nonce), None);
        assert_eq!(open(&sealed[..TAG - 1], &key, &nonce), None);
    }

    #[test]
    fn a_file_does_not_decide_how_much_work_it_makes() {
        let password = Secret::new("x");
        let sealed = Sealed::seal(b"plain", &password).expect("sealed");
        assert_eq!(sealed.open(&password), Ok(b"plain".to_vec()));
        assert_eq!(sealed.open(&Secret::new("y")), Err(KeyError::Password));
        for (n, r, p) in [
            (1 << 40, 8, 1),
            (1 << 19, 8, 1),
            (3, 8, 1),
            (0, 8, 1),
            (1, 8, 1),
            (1 << 15, 1 << 20, 1),
            (1 << 15, 8, 1 << 20),
        ] {
            let mut costly = Sealed::parse(&sealed.to_bytes()).expect("its own text");
            costly.kdf.params = Costs { n, r, p };
            assert!(
                matches!(costly.open(&password), Err(KeyError::Sealing { .. })),
                "{n} {r} {p}"
            );
        }
    }
}
