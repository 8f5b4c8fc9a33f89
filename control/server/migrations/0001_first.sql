-- The data folder that git repositories and images are in.
CREATE TABLE installation (
    -- There is one row.
    one    BIGINT PRIMARY KEY CHECK (one = 1),
    folder TEXT NOT NULL
);

-- Accounts -------------------------------------------------------------------------------------------
CREATE TABLE account (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    created_ms BIGINT NOT NULL
);

CREATE TABLE organisation (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    created_ms BIGINT NOT NULL
);

CREATE TABLE member (
    organisation_id TEXT NOT NULL REFERENCES organisation (id) ON DELETE CASCADE,
    account_id      TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    role            TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    created_ms      BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, account_id)
);
CREATE INDEX member_by_account ON member (account_id);

-- Who holds the link becomes a member; without an organisation, the owner of the first one. Only the hash of its
-- secret is kept.
CREATE TABLE invitation (
    id              TEXT PRIMARY KEY,
    organisation_id TEXT REFERENCES organisation (id) ON DELETE CASCADE,
    role            TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    secret_sha256   TEXT NOT NULL UNIQUE,
    made_by         TEXT REFERENCES account (id) ON DELETE CASCADE,
    created_ms      BIGINT NOT NULL,
    expires_ms      BIGINT NOT NULL
);
CREATE INDEX invitation_by_organisation ON invitation (organisation_id, id);

CREATE TABLE passkey (
    -- As authenticators know it, base64url.
    credential TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    -- COSE, base64url.
    public_key TEXT NOT NULL,
    sign_count BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    used_ms    BIGINT
);
CREATE INDEX passkey_by_account ON passkey (account_id);

-- What a browser was asked to have signed, until it answers. `account_id` is that of the account that is to be made.
CREATE TABLE challenge (
    sha256     TEXT PRIMARY KEY,
    purpose    TEXT NOT NULL CHECK (purpose IN ('register', 'sign_in')),
    account_id TEXT,
    expires_ms BIGINT NOT NULL
);

CREATE TABLE session (
    id            TEXT PRIMARY KEY,
    account_id    TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    secret_sha256 TEXT NOT NULL UNIQUE,
    browser       TEXT NOT NULL,
    created_ms    BIGINT NOT NULL,
    expires_ms    BIGINT NOT NULL,
    used_ms       BIGINT NOT NULL,
    -- When a passkey was shown last.
    proved_ms     BIGINT NOT NULL
);
CREATE INDEX session_by_account ON session (account_id);

-- Programs that wait for somebody to let them in. `account_id` is who did.
CREATE TABLE device (
    code_sha256 TEXT PRIMARY KEY,
    user_code   TEXT NOT NULL UNIQUE,
    name        TEXT NOT NULL,
    read_only   BIGINT NOT NULL CHECK (read_only IN (0, 1)),
    account_id  TEXT REFERENCES account (id) ON DELETE CASCADE,
    created_ms  BIGINT NOT NULL,
    expires_ms  BIGINT NOT NULL
);

CREATE TABLE ssh_key (
    fingerprint TEXT PRIMARY KEY,
    account_id  TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    public_key  TEXT NOT NULL,
    created_ms  BIGINT NOT NULL,
    used_ms     BIGINT
);
CREATE INDEX ssh_key_by_account ON ssh_key (account_id);

CREATE TABLE token (
    id            TEXT PRIMARY KEY,
    account_id    TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    secret_sha256 TEXT NOT NULL UNIQUE,
    read_only     BIGINT NOT NULL CHECK (read_only IN (0, 1)),
    app_id        TEXT,
    created_ms    BIGINT NOT NULL,
    expires_ms    BIGINT NOT NULL,
    used_ms       BIGINT
);
CREATE INDEX token_by_account ON token (account_id);

-- Apps -----------------------------------------------------------------------------------------------
CREATE TABLE app (
    id              TEXT PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisation (id),
    name            TEXT NOT NULL,
    -- The first label of its host name: the name where that was free, kept when the app is renamed.
    label           TEXT NOT NULL UNIQUE,
    deploy_branch   TEXT NOT NULL,
    created_ms      BIGINT NOT NULL,
    -- Set while everything of it is being removed; then the row goes, too.
    destroying_ms   BIGINT,
    UNIQUE (organisation_id, name)
);

CREATE TABLE app_domain (
    name       TEXT PRIMARY KEY,
    app_id     TEXT NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    created_ms BIGINT NOT NULL
);
CREATE INDEX app_domain_by_app ON app_domain (app_id);

-- Immutable. `number` counts in an app from 1.
CREATE TABLE app_release (
    id            TEXT PRIMARY KEY,
    app_id        TEXT NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    number        BIGINT NOT NULL,
    job_id        TEXT NOT NULL UNIQUE,
    commit_id     TEXT NOT NULL,
    plan_sha256   TEXT NOT NULL,
    image_sha256  TEXT NOT NULL,
    image_bytes   BIGINT NOT NULL,
    pcr0          TEXT NOT NULL,
    pcr1          TEXT NOT NULL,
    pcr2          TEXT NOT NULL,
    enclaveos     TEXT NOT NULL,
    manifest      TEXT NOT NULL,
    made_by       TEXT NOT NULL,
    created_ms    BIGINT NOT NULL,
    UNIQUE (app_id, number)
);
CREATE INDEX app_release_by_plan ON app_release (app_id, plan_sha256);
CREATE INDEX app_release_by_image ON app_release (image_sha256);

-- Work -----------------------------------------------------------------------------------------------
-- Builds, deployments and ends. `number` is the order of an app's work, even where it was asked for, the
-- next where a build leads to it; a lease says who does it until when.
CREATE TABLE job (
    id          TEXT PRIMARY KEY,
    app_id      TEXT NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    number      BIGINT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('build', 'deploy', 'stop', 'destroy')),
    phase       TEXT NOT NULL,
    -- What to build (`commit_id`) or to deploy (`release_id`).
    commit_id   TEXT,
    release_id  TEXT REFERENCES app_release (id) ON DELETE CASCADE,
    made_by     TEXT NOT NULL,
    created_ms  BIGINT NOT NULL,
    started_ms  BIGINT,
    ended_ms    BIGINT,
    -- Why it failed, a sentence, and what to do.
    failure     TEXT,
    fix         TEXT,
    cancel_ms   BIGINT,
    lease       TEXT,
    lease_ms    BIGINT,
    UNIQUE (app_id, number)
);
CREATE INDEX job_by_phase ON job (phase, created_ms);
CREATE INDEX job_by_release ON job (release_id);
-- Most deployments were replaced; what served last is among the few that were not.
CREATE INDEX job_served ON job (app_id, number) WHERE phase IN ('live', 'stopped');
-- At most one release of an app is live.
CREATE UNIQUE INDEX job_one_live ON job (app_id) WHERE phase = 'live';

-- What happened, for people -------------------------------------------------------------------------
CREATE TABLE event (
    id         TEXT PRIMARY KEY,
    app_id     TEXT NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL,
    text       TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX event_by_app ON event (app_id, id);

-- Every change, whoever made it. No foreign keys: lines outlive what they speak of.
CREATE TABLE audit (
    id              TEXT PRIMARY KEY,
    organisation_id TEXT,
    account_id      TEXT,
    -- How the account was known: token, session, ssh key, this machine.
    by_means_of     TEXT NOT NULL,
    action          TEXT NOT NULL,
    target          TEXT NOT NULL,
    detail          TEXT NOT NULL,
    created_ms      BIGINT NOT NULL
);
CREATE INDEX audit_by_organisation ON audit (organisation_id, id);

CREATE TABLE idempotency (
    account_id  TEXT NOT NULL,
    key         TEXT NOT NULL,
    body_sha256 TEXT NOT NULL,
    answer      TEXT NOT NULL,
    created_ms  BIGINT NOT NULL,
    PRIMARY KEY (account_id, key)
);
CREATE INDEX idempotency_by_age ON idempotency (created_ms);
