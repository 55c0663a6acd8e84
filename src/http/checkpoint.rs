//! `/v1/audit/checkpoint`: what the log over all chains says of the org's, and the proofs of it.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::audit;
use crate::http::State;
use crate::http::extract::By;
use crate::http::problem::{Kind, Problem};
use crate::http::shapes::Hash;
use crate::vault::OrgProof;

/// The newest checkpoint, and the proofs of what it says of the org. `docs/audit.md` tells how they are verified.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditCheckpoint)]
pub struct CheckpointView {
    /// A signed note (C2SP `tlog-checkpoint`).
    checkpoint: String,
    /// The verifier key of the log, by which the note is verified. Get it by another way too.
    public_key: String,
    #[schema(max_length = 128)]
    org: String,
    /// What keeps others from telling whose the leaf is: keep it to yourselves.
    #[schema(value_type = Option<Hash>, required = true)]
    salt: Option<String>,
    /// The org's last leaf under the checkpoint; null while no event of the org's is in the log.
    #[schema(required = true)]
    leaf: Option<LeafView>,
    /// That the checkpoint's root holds the leaf (RFC 9162 section 2.1.3).
    #[schema(value_type = Vec<Hash>)]
    inclusion: Vec<String>,
    /// The newest checkpoint that a witness has taken.
    #[schema(required = true)]
    witnessed: Option<WitnessedView>,
}

/// A leaf of the log: how far the org's chain had come.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditLeaf)]
pub struct LeafView {
    /// Its number in the log, from 0.
    #[schema(minimum = 0)]
    index: u64,
    /// The number of the event that was the chain's last.
    #[schema(minimum = 1)]
    seq: i64,
    #[schema(value_type = Hash)]
    hash: String,
}

/// A checkpoint that a witness has.
#[derive(Serialize, ToSchema)]
#[schema(as = WitnessedCheckpoint)]
pub struct WitnessedView {
    /// A signed note.
    checkpoint: String,
    /// That the newest checkpoint goes on from it (RFC 9162 section 2.1.4).
    #[schema(value_type = Vec<Hash>)]
    consistency: Vec<String>,
}

impl CheckpointView {
    fn new(org: String, proof: OrgProof) -> Self {
        let texts = |hashes: &[audit::Hash]| hashes.iter().map(ToString::to_string).collect();
        let leaf = proof.leaf.as_ref();
        Self {
            checkpoint: proof.note,
            public_key: proof.public_key,
            org,
            salt: leaf.map(|leaf| leaf.salt.iter().map(|byte| format!("{byte:02x}")).collect()),
            inclusion: leaf.map(|leaf| texts(&leaf.inclusion)).unwrap_or_default(),
            leaf: leaf.map(|leaf| LeafView { index: leaf.index, seq: leaf.seq, hash: leaf.hash.to_string() }),
            witnessed: proof.witnessed.map(|witnessed| WitnessedView {
                consistency: texts(&witnessed.consistency),
                checkpoint: witnessed.note,
            }),
        }
    }
}

/// The newest checkpoint of the log over all chains, with the proofs for the org's own.
#[utoipa::path(get, path = "/v1/audit/checkpoint",
    operation_id = "show_audit_checkpoint", security(("bearer" = ["audit.read"])),
    responses((status = 200, body = CheckpointView, description = "The newest one."),
              (status = 404, description = "`not-found`: none was made yet.")))]
pub(super) async fn show(state: web::Data<State>, By(actor): By) -> Result<HttpResponse, Problem> {
    let none = || Problem::new(Kind::NotFound, "no checkpoint was made yet: the first comes within a minute");
    let proof = state.vault.read_checkpoint(&actor).await?.ok_or_else(none)?;
    Ok(HttpResponse::Ok().json(CheckpointView::new(actor.caller.org().to_string(), proof)))
}
