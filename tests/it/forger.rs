//! The issuer's own key, as somebody has it who holds the master key and the database: to sign what the vault
//! never would.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pawl::access::IssuerKey;
use pawl::ids::{IssuerKeyId, KeyId};
use pawl::seal::{Binding, Keyring, MasterKey, Sealed};
use pawl::secret::Secret;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use crate::harness::Vault;

pub struct Forger {
    pub kid: String,
    pair: Ed25519KeyPair,
}

impl Forger {
    /// With the newest key of `vault`'s issuer.
    pub fn of(vault: &Vault) -> Self {
        let rows = vault.home.sql().rows("issuer_keys", &["id", "sealed", "key_id"]);
        let row = rows.as_array().unwrap().last().unwrap();
        let file: Value = serde_json::from_slice(&std::fs::read(vault.home.key_file()).unwrap()).unwrap();
        let key_id = KeyId::parse(row["key_id"].as_str().unwrap()).unwrap();
        let master = Secret::new(file["keys"][key_id.as_str()].as_str().unwrap().to_owned());
        let keys = BTreeMap::from([(key_id.to_string(), MasterKey::parse(&master).unwrap())]);
        let ring = Keyring::new(key_id.clone(), keys).unwrap();
        let id = IssuerKeyId::parse(row["id"].as_str().unwrap()).unwrap();
        let sealed = Sealed { token: row["sealed"].as_str().unwrap().to_owned(), key_id };
        let seed = ring.open(&Binding::issuer_key(&id), &sealed).unwrap();
        let key = IssuerKey::from_seed(id, &seed).unwrap();
        let seed = URL_SAFE_NO_PAD.decode(key.seed().expose()).unwrap();
        Self { kid: key.id().to_string(), pair: Ed25519KeyPair::from_seed_unchecked(&seed).unwrap() }
    }

    pub fn public(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }

    pub fn header(&self) -> Value {
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": self.kid})
    }

    /// What a good token of ada's says now.
    pub fn claims(&self, vault: &Vault) -> Value {
        let now = vault.clock.now().seconds();
        json!({"iss": "urn:pawl", "aud": "pawl", "sub": "ada", "org": "acme", "client_id": "svc",
               "roles": ["backend"], "iat": now, "exp": now + 900, "jti": "tok_made_up"})
    }

    /// Signed as the issuer signs, whatever it says.
    pub fn sign(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(self.pair.sign(message.as_bytes())))
    }
}
