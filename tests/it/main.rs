//! Pawl, driven from outside: over HTTP, as processes, with real databases. A module a concern.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::as_conversions, clippy::print_stderr)]
#![allow(missing_docs)]

mod access;
mod api;
mod asked_paths;
mod backup;
mod borrowers;
mod changes;
mod check;
mod check_tls;
mod checkpoints;
mod clients;
mod conditions;
mod contract;
mod database;
mod demo;
mod deploy;
mod dialects;
mod docs_page;
mod doubted;
mod durability;
mod egress;
mod every_call;
mod exchange;
mod expiry;
mod fail_closed;
mod fill;
mod flood;
mod forger;
mod frozen;
mod frozen_vault;
mod harness;
mod hidden;
mod hostile_calls;
mod hostile_urls;
mod import;
mod import_names;
mod import_refusals;
mod import_source;
mod issuer_keys;
mod json_lines;
mod kept_open;
mod kills;
mod kinds;
#[cfg(feature = "postgres")]
mod lane;
mod lane_late;
mod lane_model;
mod late;
mod lease_caps;
mod lease_kept;
mod leases;
mod life;
mod limits;
mod logs;
mod memory;
mod metrics;
mod missing;
#[cfg(feature = "postgres")]
mod narrow_roles;
mod odoo_calls;
mod odoo_client;
mod odoo_wire;
mod operators;
mod other_clients;
mod papers;
mod planted;
#[cfg(feature = "postgres")]
mod postgres;
mod process;
mod process_memory;
mod production;
mod refused_logins;
mod registered;
mod removals;
mod renewals;
mod repeats;
mod retention;
mod revocations;
mod rotation;
mod rotation_kills;
#[cfg(feature = "postgres")]
mod rotation_replicas;
mod same_answer;
mod scene;
mod sealing;
mod secrets;
#[cfg(feature = "aws")]
mod secrets_manager;
mod served;
mod servers;
mod slow_readers;
#[path = "../../src/bin/pawl-demo/standin.rs"]
mod standin;
mod standin_faults;
mod standin_settings;
mod standin_time;
mod standin_wire;
#[cfg(feature = "postgres")]
mod supply;
mod surface;
mod surroundings;
mod sync;
mod tampered;
mod tls;
mod tokens;
mod traces;
mod trail;
mod trust;
mod truth;
mod two_readings;
mod untold;
mod upgrades;
mod witness;
mod witnesses;
mod xml_answers;
