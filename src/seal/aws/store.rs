//! The calls that are made to Secrets Manager, all of them, as AWS's standard configuration says: the
//! region, the credentials, the address. `policies/aws/` allows these and no other.
//!
//! A key passes through the SDK's buffers: the answer's bytes, the text parsed from it, the request's
//! body. The text is taken over and wiped here; the others are freed by the SDK and its HTTP client,
//! which do not wipe them.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_secretsmanager::Client;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use zeroize::Zeroize;

use super::fault::{self, Fault, Quotes};
use super::way::NeverInTheClear;
use crate::secret::Secret;

/// How long the store is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To connect.
    pub connect: Duration,
    /// For one attempt, connecting and signing on included.
    pub attempt: Duration,
    /// Attempts at one call, the first among them.
    pub attempts: u32,
    /// Until a key that was made is seen, and one that was destroyed is not.
    pub settle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            attempt: Duration::from_secs(5),
            attempts: 3,
            settle: Duration::from_secs(30),
        }
    }
}

/// The store, as these credentials see it.
pub(super) struct Store(Client);

/// Of a secret what is no secret.
pub(super) struct Described {
    /// The KMS key that it is kept under, when it is not AWS's own.
    pub(super) kms_key: Option<String>,
    /// The regions that it is copied to.
    pub(super) replicas: Vec<String>,
}

impl Store {
    /// As the environment, the profile and the machine say, or as `given`.
    pub(super) async fn open(given: Option<&SdkConfig>, patience: Patience) -> Result<Self, String> {
        // Over the one TLS provider that everything here speaks with, and the system's roots.
        let ring = tls::Provider::Rustls(CryptoMode::Ring);
        let http = aws_smithy_http_client::Builder::new().tls_provider(ring).build_https();
        let config = match given {
            Some(given) => given.clone(),
            None => {
                let standard = aws_config::defaults(BehaviorVersion::v2026_01_12());
                // It may have to ask the machine for its region.
                let asked = tokio::time::timeout(
                    patience.attempt * patience.attempts,
                    standard.http_client(http.clone()).load(),
                );
                asked.await.map_err(|_| "AWS's configuration: no answer in time")?
            }
        };
        if config.region().is_none() {
            return Err("no region is named: set AWS_REGION".into());
        }
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(patience.connect)
            .operation_attempt_timeout(patience.attempt)
            .build();
        let config = aws_sdk_secretsmanager::config::Builder::from(&config)
            .http_client(http)
            .timeout_config(timeouts)
            .interceptor(NeverInTheClear)
            .retry_config(RetryConfig::standard().with_max_attempts(patience.attempts))
            .build();
        Ok(Self(Client::from_conf(config)))
    }

    /// The value of a secret.
    pub(super) async fn value(&self, secret: &str) -> Result<Secret, Fault> {
        let asked = self.0.get_secret_value().secret_id(secret).send().await;
        let mut answer = asked.map_err(|error| fault::of("GetSecretValue", &error, Quotes::Message))?;
        if let Some(text) = answer.secret_string.take() {
            return Ok(Secret::new(text));
        }
        if let Some(binary) = answer.secret_binary.take() {
            binary.into_inner().zeroize();
        }
        Err(Fault::Key("GetSecretValue: the value is no text".into()))
    }

    /// Makes a secret, under the KMS key that is named or AWS's own.
    pub(super) async fn create(
        &self,
        secret: &str,
        value: &Secret,
        token: &str,
        kms_key: Option<String>,
    ) -> Result<(), Fault> {
        let call = self.0.create_secret().name(secret).client_request_token(token);
        let call = call.description("A master key of Pawl").set_kms_key_id(kms_key);
        let sent = call.secret_string(value.expose()).send().await;
        sent.map(drop).map_err(|error| fault::of("CreateSecret", &error, Quotes::Nothing))
    }

    pub(super) async fn describe(&self, secret: &str) -> Result<Described, Fault> {
        let asked = self.0.describe_secret().secret_id(secret).send().await;
        let answer = asked.map_err(|error| fault::of("DescribeSecret", &error, Quotes::Message))?;
        let replicas = answer.replication_status().iter();
        Ok(Described {
            replicas: replicas.filter_map(|replica| replica.region().map(str::to_owned)).collect(),
            kms_key: answer.kms_key_id,
        })
    }

    pub(super) async fn remove_replicas(&self, secret: &str, regions: Vec<String>) -> Result<(), Fault> {
        let call = self.0.remove_regions_from_replication().secret_id(secret);
        let sent = call.set_remove_replica_regions(Some(regions)).send().await;
        sent.map(drop).map_err(|error| fault::of("RemoveRegionsFromReplication", &error, Quotes::Message))
    }

    /// Deletes a secret for good, without the days in which it could be restored.
    pub(super) async fn delete(&self, secret: &str) -> Result<(), Fault> {
        let call = self.0.delete_secret().secret_id(secret).force_delete_without_recovery(true);
        let sent = call.send().await;
        sent.map(drop).map_err(|error| fault::of("DeleteSecret", &error, Quotes::Message))
    }
}
