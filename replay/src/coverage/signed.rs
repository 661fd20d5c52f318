//! A statement with a signature, so that who reads it need not trust who hands it over.
//!
//! The signature (Ed25519) is over the statement's canonical form: JSON without white space, with the
//! members of every object in the order of their names. The file holds the same form, so that any
//! byte that is changed in it is noticed.

use super::Statement;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde_json::{Value, json};
use thiserror::Error;
use weir_schemas::hex::hex;

/// Why a signed statement is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CheckError {
    /// It is not in the form that statements are written in.
    #[error("the file is not as `weir coverage --out` wrote it: {0}")]
    Form(String),
    /// The signature is not over this statement, or not by this key.
    #[error("the signature does not fit: the statement was changed, or another key signed it")]
    Signature,
    /// It is signed by another key than the one that was given.
    #[error("the statement is signed by {found}, not by the key that was given")]
    Key {
        /// Public key that the file names, as hex digits.
        found: String,
    },
    /// That is no public key.
    #[error("a public key is 64 hex digits")]
    BadKey,
}

/// A statement whose signature fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What was stated.
    pub statement: Statement,
    /// Public key of who signed, as hex digits.
    pub public_key: String,
}

/// The statement with its signature and public key, as one line.
pub fn sign(statement: &Statement, seed: &[u8; 32]) -> Result<String, serde_json::Error> {
    let statement = serde_json::to_value(statement)?;
    let key = SigningKey::from_bytes(seed);
    let signature = key.sign(canonical(&statement).as_bytes());
    let signed = json!({
        "statement": statement,
        "public_key": hex(key.verifying_key().as_bytes()),
        "signature": hex(&signature.to_bytes()),
    });
    Ok(canonical(&signed) + "\n")
}

/// Public key of a seed, as hex digits.
pub fn public_key_of(seed: &[u8; 32]) -> String {
    hex(SigningKey::from_bytes(seed).verifying_key().as_bytes())
}

/// Checks what [`sign`] gave. Without `public_key` it shows only that the statement is as its signer
/// made it, whoever that is.
pub fn check(text: &str, public_key: Option<&str>) -> Result<Checked, CheckError> {
    let form = |reason: &str| CheckError::Form(reason.to_owned());
    let signed: Value = serde_json::from_str(text).map_err(|error| CheckError::Form(error.to_string()))?;
    if canonical(&signed) + "\n" != text {
        return Err(form("white space, order or numbers are not canonical"));
    }
    let member = |name: &str| signed[name].as_str().ok_or_else(|| form(&format!("it has no {name}")));
    let found = member("public_key")?.to_owned();
    let key = verifying_key(&found).ok_or(CheckError::BadKey)?;
    if let Some(expected) = public_key {
        let expected = verifying_key(expected.trim()).ok_or(CheckError::BadKey)?;
        if expected != key {
            return Err(CheckError::Key { found });
        }
    }
    let signature = bytes_of::<64>(member("signature")?).ok_or(CheckError::Signature)?;
    let content = canonical(&signed["statement"]);
    key.verify_strict(content.as_bytes(), &Signature::from_bytes(&signature))
        .map_err(|_| CheckError::Signature)?;
    let statement = serde_json::from_value(signed["statement"].clone())
        .map_err(|error| CheckError::Form(error.to_string()))?;
    Ok(Checked { statement, public_key: found })
}

fn verifying_key(text: &str) -> Option<VerifyingKey> {
    VerifyingKey::from_bytes(&bytes_of::<32>(text)?).ok()
}

/// JSON without white space, members in the order of their names.
fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            // Sorted here: whether the map keeps an order depends on a feature of the crate that any
            // dependency may turn on.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// `N` bytes from lower-case hex digits.
fn bytes_of<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let is_hex = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != 2 * N || !digits.iter().all(is_hex) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::{Asked, Balance, PartitionCoverage, STATEMENT_TYPE};
    use super::*;
    use expect_test::expect;

    const SEED: [u8; 32] = [7; 32];

    fn statement() -> Statement {
        let partition = PartitionCoverage {
            partition: 3,
            read: 40,
            judged: 39,
            dead_lettered: 1,
            to: 40,
            log_end: 40,
            epochs_sha256: "ab".into(),
            ..PartitionCoverage::default()
        };
        Statement {
            kind: STATEMENT_TYPE.into(),
            log: "embedded".into(),
            node: "n\"1".into(),
            made_at_ms: 1_793_491_200_000,
            asked: Asked::Offsets { partition: 3, from: 0, to: 40 },
            balance: Balance::Balanced,
            read: 40,
            judged: 39,
            dead_lettered: 1,
            in_flight: 0,
            partitions: vec![partition],
        }
    }

    #[test]
    fn a_signed_statement_has_one_form_and_is_believed() {
        let text = sign(&statement(), &SEED).unwrap();
        expect![[r#"
            {"public_key":"ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c","signature":"111f8355f22053f4bbf0f7788fb8f70a302129ab9d6bf6cf94c2654089c78d23c9114f715e746c1077767e137a2a2b09689edb42a03367ffa759f580518cc80a","statement":{"asked":{"from":0,"partition":3,"range":"offsets","to":40},"balance":"balanced","dead_lettered":1,"in_flight":0,"judged":39,"log":"embedded","made_at_ms":1793491200000,"node":"n\"1","partitions":[{"dead_lettered":1,"epoch_first":0,"epoch_last":0,"epochs_cut":0,"epochs_sha256":"ab","from":0,"imbalances":[],"in_flight":0,"judged":39,"log_end":40,"log_first":0,"partition":3,"read":40,"to":40,"unaccounted":0,"unproven":[]}],"read":40,"type":"weir.coverage/1"}}
        "#]].assert_eq(&text);
        let checked = check(&text, Some(&public_key_of(&SEED))).unwrap();
        assert_eq!(checked, Checked { statement: statement(), public_key: public_key_of(&SEED) });
    }

    #[test]
    fn no_bit_of_it_can_be_flipped() {
        let text = sign(&statement(), &SEED).unwrap();
        for byte in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[byte] ^= 1 << bit;
                let Ok(flipped) = String::from_utf8(bytes) else { continue };
                assert!(check(&flipped, None).is_err(), "bit {bit} of byte {byte}: {flipped}");
            }
        }
    }

    #[test]
    fn a_statement_by_another_key_is_refused() {
        let text = sign(&statement(), &[8; 32]).unwrap();
        assert!(check(&text, None).is_ok());
        let refused = check(&text, Some(&public_key_of(&SEED))).unwrap_err();
        assert_eq!(refused, CheckError::Key { found: public_key_of(&[8; 32]) });
        assert_eq!(check(&text, Some("abc")), Err(CheckError::BadKey));
    }

    #[test]
    fn what_is_no_statement_is_refused() {
        for text in ["", "{}", "{}\n", "[]\n", "{\"statement\":{}}\n", "\"\"\n"] {
            assert!(matches!(check(text, None), Err(CheckError::Form(_))), "{text:?}");
        }
    }
}
