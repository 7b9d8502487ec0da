-- What one administrator asked for and a second one decides on.
CREATE TABLE proposals (
    id BIGINT PRIMARY KEY,
    method TEXT NOT NULL,               -- of the request that is carried out on approval; '': a permit, used once
    what TEXT NOT NULL,                 -- path of the request, or what is permitted
    body TEXT NOT NULL,
    proposed_by TEXT NOT NULL,
    proposed_at BIGINT NOT NULL,
    ends BIGINT NOT NULL,
    state INTEGER NOT NULL,             -- 0 waiting, 1 approved, 2 denied, 3 used
    decided_by TEXT,
    decided_at BIGINT
);
