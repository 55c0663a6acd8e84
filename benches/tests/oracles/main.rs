//! Pawl's XML-RPC beside that of three others: the same bytes have to mean the same to all of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::as_conversions)]
#![allow(missing_docs)]

mod answers;
mod calls;
#[path = "../../../tests/it/hostile_calls.rs"]
mod hostile_calls;
mod readers;
#[path = "../../../tests/it/xml_answers.rs"]
mod xml_answers;
