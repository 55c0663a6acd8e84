//! Pawl keeps the credentials that a product holds for its customers' Odoo.
//!
//! The way of a request, one way down:
//!
//! ```text
//! http ──▶ access ──▶ vault ──▶ seal      opens and seals, pure
//!                       │  ├──▶ store     the only door to the database
//!                       │  └──▶ audit     what an event is and how events chain
//!                       └─────▶ odoo ──▶ egress ──▶ the customer's Odoo
//! sync ──▶ the vault's HTTP API; odoo ──▶ egress ──▶ the customer's Odoo ──▶ sink
//! ```

pub mod clock;
pub mod egress;
pub mod odoo;
pub mod secret;
pub mod sync;
