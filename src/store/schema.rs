//! The tables, as `migrations/` makes them; a test holds the two against each other.

diesel::table! {
    keys (id) {
        id -> Text,
        fingerprint -> Text,
        source -> Text,
        state -> Text,
        created_at -> BigInt,
        canary -> Nullable<Text>,
        last_left_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    issuer_keys (id) {
        id -> Text,
        sealed -> Text,
        key_id -> Text,
        created_at -> BigInt,
        signs_from -> BigInt,
        verifies_until -> Nullable<BigInt>,
    }
}

diesel::table! {
    clients (id) {
        id -> Text,
        public_key -> Text,
        roles -> Text,
        orgs -> Nullable<Text>,
        user_id -> Nullable<Text>,
        created_at -> BigInt,
    }
}

diesel::table! {
    revocations (id) {
        id -> Text,
        jti -> Nullable<Text>,
        client_id -> Nullable<Text>,
        issued_before -> Nullable<BigInt>,
        dies_at -> BigInt,
    }
}

diesel::table! {
    client_assertions (client_id, jti) {
        client_id -> Text,
        jti -> Text,
        kept_until -> BigInt,
    }
}

diesel::table! {
    connections (id) {
        id -> Text,
        org_id -> Text,
        user_id -> Text,
        label -> Nullable<Text>,
        environment -> Text,
        kind -> Text,
        url -> Nullable<Text>,
        database -> Nullable<Text>,
        username -> Nullable<Text>,
        sealed -> Text,
        key_id -> Text,
        revision -> BigInt,
        credential_expires_at -> Nullable<BigInt>,
        state -> Text,
        created_at -> BigInt,
        updated_at -> BigInt,
        sync_interval_seconds -> Nullable<BigInt>,
        expiry_warned -> Nullable<BigInt>,
        may_write -> BigInt,
        taken_revision -> Nullable<BigInt>,
        leaked -> BigInt,
    }
}

diesel::table! {
    leases (id) {
        id -> Text,
        org_id -> Text,
        user_id -> Text,
        connection_id -> Text,
        client_id -> Text,
        purpose -> Text,
        run_id -> Nullable<Text>,
        revision -> BigInt,
        fence -> BigInt,
        lent_at -> BigInt,
        expires_at -> BigInt,
        ended_at -> Nullable<BigInt>,
        outcome -> Nullable<Text>,
        records -> Nullable<BigInt>,
    }
}

diesel::table! {
    audit_events (org_id, seq) {
        org_id -> Text,
        seq -> BigInt,
        event -> Text,
        prev_hash -> Binary,
        hash -> Binary,
    }
}

diesel::table! {
    idempotency_keys (org_id, caller_id, client_id, idempotency_key) {
        org_id -> Text,
        caller_id -> Text,
        client_id -> Text,
        idempotency_key -> Text,
        key_id -> Text,
        mark -> Binary,
        user_id -> Text,
        connection_id -> Text,
        lease_id -> Nullable<Text>,
        answer -> Nullable<Text>,
        kept_until -> BigInt,
    }
}

diesel::table! {
    imports (org_id, source, source_id) {
        org_id -> Text,
        source -> Text,
        source_id -> Text,
        connection_id -> Text,
        outcome -> Text,
        imported_at -> BigInt,
    }
}

diesel::table! {
    reseals (id) {
        id -> Text,
        key_id -> Text,
        started_at -> BigInt,
        updated_at -> BigInt,
        ended_at -> Nullable<BigInt>,
        outcome -> Nullable<Text>,
        total -> BigInt,
        moved -> BigInt,
        shut -> BigInt,
    }
}

diesel::table! {
    org_settings (org_id) {
        org_id -> Text,
        frozen_at -> Nullable<BigInt>,
        updated_at -> BigInt,
        retention_days -> Nullable<BigInt>,
        next_retention_days -> Nullable<BigInt>,
        next_retention_from -> Nullable<BigInt>,
        allowed_hosts -> Nullable<Text>,
        injection_only -> BigInt,
        lend_to_writers -> BigInt,
        readable -> Nullable<Text>,
    }
}

diesel::table! {
    audit_chains (org_id) {
        org_id -> Text,
        salt -> Binary,
        pruned_seq -> BigInt,
        pruned_hash -> Binary,
        day -> BigInt,
        day_seq -> BigInt,
    }
}

diesel::table! {
    audit_logs (id) {
        id -> Text,
        origin -> Text,
        public_key -> Text,
        sealed -> Text,
        key_id -> Text,
        created_at -> BigInt,
        follows -> Text,
    }
}

diesel::table! {
    audit_leaves (log_id, idx) {
        log_id -> Text,
        idx -> BigInt,
        org_id -> Text,
        seq -> BigInt,
        head -> Binary,
    }
}

diesel::table! {
    audit_nodes (log_id, level, idx) {
        log_id -> Text,
        level -> BigInt,
        idx -> BigInt,
        hash -> Binary,
    }
}

diesel::table! {
    audit_checkpoints (log_id, size) {
        log_id -> Text,
        size -> BigInt,
        root -> Binary,
        note -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    audit_witnesses (log_id, witness) {
        log_id -> Text,
        witness -> Text,
        size -> BigInt,
        taken_at -> BigInt,
    }
}

diesel::table! {
    login_refusals (login) {
        login -> Text,
        refused -> BigInt,
        last_at -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    keys,
    issuer_keys,
    connections,
    leases,
    audit_events,
    idempotency_keys,
    imports,
    clients,
    revocations,
    client_assertions,
    reseals,
    org_settings,
    audit_chains,
    audit_logs,
    audit_leaves,
    audit_nodes,
    audit_checkpoints,
    audit_witnesses,
    login_refusals
);
