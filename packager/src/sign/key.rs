//! Keys, and the files that hold them.

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, UnparsedPublicKey,
};

use super::sealed::Sealed;
use super::{KeyError, pem};
use crate::digest::Digest;
use crate::registry::Secret;

/// What cosign 2 and later call an encrypted private key.
const SEALED: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";
/// What cosign 1 and older versions of Podman and skopeo call the same.
const SEALED_BEFORE: &str = "ENCRYPTED COSIGN PRIVATE KEY";
/// PKCS #8 (RFC 5958), not encrypted.
const PLAIN: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

/// A public key on P-256 in DER, before the 65 bytes of the point (RFC 5480).
const P256_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const P256_POINT: usize = 65;
/// A public Ed25519 key in DER, before its 32 bytes (RFC 8410).
const ED25519_HEAD: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const ED25519_POINT: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    P256,
    Ed25519,
}

/// A key that checks signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    point: Vec<u8>,
}

impl PublicKey {
    /// Reads a PEM file.
    ///
    /// # Errors
    ///
    /// It is none, or its key is of another algorithm.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let (label, bytes) = pem::read(text)?;
        if label != PUBLIC {
            return Err(KeyError::Kind {
                got: crate::digest::shown(&label),
                want: "a public key (\"PUBLIC KEY\")",
            });
        }
        let read = |algorithm, head: &[u8], length| {
            let point = bytes.strip_prefix(head)?;
            (point.len() == length).then(|| Self {
                algorithm,
                point: point.to_vec(),
            })
        };
        read(Algorithm::P256, &P256_HEAD, P256_POINT)
            .or_else(|| read(Algorithm::Ed25519, &ED25519_HEAD, ED25519_POINT))
            .ok_or(KeyError::Algorithm)
    }

    /// Returns the text of a PEM file.
    pub fn to_pem(&self) -> String {
        pem::write(PUBLIC, &self.der())
    }

    /// Returns the SHA-256 of the key in DER: a name for it that people can compare.
    pub fn fingerprint(&self) -> Digest {
        Digest::sha256_of(&self.der())
    }

    /// Has the private key of this one made the signature of these bytes?
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self.algorithm {
            Algorithm::P256 => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point)
                .verify(message, signature),
            Algorithm::Ed25519 => {
                UnparsedPublicKey::new(&ED25519, &self.point).verify(message, signature)
            }
        };
        verified.is_ok()
    }

    fn der(&self) -> Vec<u8> {
        let head = match self.algorithm {
            Algorithm::P256 => &P256_HEAD[..],
            Algorithm::Ed25519 => &ED25519_HEAD,
        };
        [head, &self.point].concat()
    }
}

/// A key that makes signatures.
pub struct PrivateKey(Pair);

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der, &random) {
            return Ok(Self(Pair::P256(pair)));
        }
        // OpenSSL writes the first version of the form, without the public key.
        match Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            Ok(pair) => Ok(Self(Pair::Ed25519(pair))),
            Err(_) => Err(KeyError::Algorithm),
        }
    }

    /// Returns the key that checks this one's signatures.
    pub fn public(&self) -> PublicKey {
        let (algorithm, point) = match &self.0 {
            Pair::P256(pair) => (Algorithm::P256, pair.public_key().as_ref()),
            Pair::Ed25519(pair) => (Algorithm::Ed25519, pair.public_key().as_ref()),
        };
        PublicKey {
            algorithm,
            point: point.to_vec(),
        }
    }

    /// Signs bytes.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.0 {
            Pair::P256(pair) => match pair.sign(&SystemRandom::new(), message) {
                Ok(signature) => Ok(signature.as_ref().to_vec()),
                Err(_) => Err(KeyError::Making {
                    problem: "the system gives no random numbers",
                }),
            },
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

/// A file with a private key, read but perhaps not opened.
pub struct KeyFile(Content);

enum Content {
    Plain(Vec<u8>),
    Sealed(Sealed),
}

impl KeyFile {
    /// Reads a PEM file: cosign's encrypted form, or PKCS #8 that is not encrypted.
    ///
    /// # Errors
    ///
    /// It is neither.
    pub fn parse(text: &[u8]) -> Result<Self, KeyError> {
        let (label, bytes) = pem::read(text)?;
        match label.as_str() {
            SEALED | SEALED_BEFORE => {
                Sealed::parse(&bytes).map(|sealed| Self(Content::Sealed(sealed)))
            }
            PLAIN => Ok(Self(Content::Plain(bytes))),
            _ => Err(KeyError::Kind {
                got: crate::digest::shown(&label),
                want: "a private key of cosign, or one in PKCS #8 (\"PRIVATE KEY\")",
            }),
        }
    }

    /// Does it take a password to open it?
    pub fn is_sealed(&self) -> bool {
        matches!(self.0, Content::Sealed(_))
    }

    /// Returns the key. The password means nothing to a file that is not sealed.
    ///
    /// # Errors
    ///
    /// The password is wrong, or the key is of another algorithm.
    pub fn open(&self, password: &Secret) -> Result<PrivateKey, KeyError> {
        match &self.0 {
            Content::Plain(der) => PrivateKey::from_pkcs8(der),
            Content::Sealed(sealed) => PrivateKey::from_pkcs8(&sealed.open(password)?),
        }
    }
}

/// The texts of two files: `cosign.key` and `cosign.pub`.
pub struct KeyPair {
    /// The private key, encrypted with a password; PEM.
    pub private: Secret,
    /// The public key; PEM.
    pub public: String,
}

impl KeyPair {
    /// Makes a new pair of keys on P-256.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub fn generate(password: &Secret) -> Result<Self, KeyError> {
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let der = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).map_err(|_| {
            KeyError::Making {
                problem: "the system gives no random numbers",
            }
        })?;
        let sealed = Sealed::seal(der.as_ref(), password)?;
        Ok(Self {
            public: PrivateKey::from_pkcs8(der.as_ref())?.public().to_pem(),
            private: Secret::new(pem::write(SEALED, &sealed.to_bytes())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`, for this test alone.
    const EC: &str = "-----BEGIN PRIVATE KEY-----\n\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg+mPXdCMU7DoL84+D\n\
        R6XEUNM8PUo+eUn+ydeRiAIfYfmhRANCAARMqlnvHcSBphzHRHfUsdb39X728CT5\n\
        1ddyAOnEdXdeUjHvxOBl3vKGYLY59odl8lUNTMDe1f1Yd6yTX0CyB6Du\n\
        -----END PRIVATE KEY-----";
    /// Made by `openssl genpkey -algorithm ED25519`, for this test alone.
    const ED: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIMrp3hUBZbN3n3VHWPJLWYftok9kYWzN7Mm4FhGLNaIa\n\
        -----END PRIVATE KEY-----";
    const EC_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAETKpZ7x3EgaYcx0R31LHW9/V+9vAk\n\
        +dXXcgDpxHV3XlIx78TgZd7yhmC2OfaHZfJVDUzA3tX9WHesk19Asgeg7g==\n\
        -----END PUBLIC KEY-----";
    const ED_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEA3GFNFOkGsYNnehV2zCbW0fyXz3UPS6NheI8B8uosMk8=\n\
        -----END PUBLIC KEY-----";
    const P384: &str = "-----BEGIN PUBLIC KEY-----\n\
        MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE832VixwrZp+p4SiGibMr5XyfvbHmP226\n\
        evQg3aSUeejMmXsFiUz39X4Oek6LPGn9qvfWVp/ReZt/Ekypzd9IqZUg8BKRWQ1/\n\
        Jr56iJbna/P4T5LDpFwZtIAqel/891cf\n\
        -----END PUBLIC KEY-----";

    #[test]
    fn a_pair_signs_and_checks() {
        let password = Secret::new("correct horse");
        let pair = KeyPair::generate(&password).expect("a pair");
        assert!(!format!("{:?}", pair.private).contains("BEGIN"));
        let file = KeyFile::parse(pair.private.reveal().as_bytes()).expect("its own text");
        assert!(file.is_sealed());
        assert!(matches!(
            file.open(&Secret::new("wrong")),
            Err(KeyError::Password)
        ));
        let private = file.open(&password).expect("opened");
        let public = PublicKey::from_pem(pair.public.as_bytes()).expect("its own text");
        assert_eq!(private.public(), public);
        let signature = private.sign(b"message").expect("signed");
        assert!(public.has_signed(b"message", &signature));
        assert!(!public.has_signed(b"messagf", &signature));
        let old = pair.private.reveal().replace("SIGSTORE", "COSIGN");
        let old = KeyFile::parse(old.as_bytes()).expect("the older name");
        assert_eq!(old.open(&password).map(|key| key.public()), Ok(public));
    }

    #[test]
    fn openssls_keys_are_read() {
        for (private, public) in [(EC, EC_PUBLIC), (ED, ED_PUBLIC)] {
            let file = KeyFile::parse(private.as_bytes()).expect("PKCS #8");
            assert!(!file.is_sealed());
            let key = file.open(&Secret::new("")).expect("a key");
            assert_eq!(key.public().to_pem().trim(), public);
            let signature = key.sign(b"x").expect("signed");
            let public = PublicKey::from_pem(public.as_bytes()).expect("a key");
            assert!(public.has_signed(b"x", &signature));
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let other = PublicKey::from_pem(P384.as_bytes());
        assert_eq!(other, Err(KeyError::Algorithm));
        for text in [
            "",
            "key",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----",
            "-----BEGIN CERTIFICATE-----\nMFkw\n-----END CERTIFICATE-----",
            EC,
        ] {
            assert!(PublicKey::from_pem(text.as_bytes()).is_err(), "{text}");
        }
        let two = format!("{EC_PUBLIC}\n{ED_PUBLIC}");
        assert!(PublicKey::from_pem(two.as_bytes()).is_err(), "which one?");
        let large = "x".repeat(pem::FILE_LIMIT + 1);
        assert!(PublicKey::from_pem(large.as_bytes()).is_err());
        let boxed = pem::write(SEALED, b"{\"kdf\":{}}");
        assert!(KeyFile::parse(boxed.as_bytes()).is_err());
        assert!(KeyFile::parse(EC_PUBLIC.as_bytes()).is_err());
        let short = pem::write(PLAIN, &[0x30; 40]);
        let opened =
            KeyFile::parse(short.as_bytes()).map(|file| file.open(&Secret::new("")).is_err());
        assert_eq!(opened, Ok(true));
    }
}
