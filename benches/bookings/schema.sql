-- The conventional service: a row for each thing, and a constraint that keeps bookings of a car apart. Numbers of cars
-- are replaced by small keys, so that the index of the constraint compares integers.
DROP TABLE IF EXISTS answers, outbox, rentals, payments, reservations, cars;
CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE cars (
    id bigint PRIMARY KEY,
    car_no text NOT NULL UNIQUE,
    model text NOT NULL,
    daily_rate bigint NOT NULL,
    retired boolean NOT NULL DEFAULT false
);

CREATE TABLE reservations (
    reservation_no text PRIMARY KEY,
    car_id bigint NOT NULL REFERENCES cars,
    customer_no text NOT NULL,
    period tstzrange NOT NULL,
    status text NOT NULL,
    price bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    EXCLUDE USING gist (car_id WITH =, period WITH &&) WHERE (status IN ('PAYMENT_PENDING', 'CONFIRMED'))
);
CREATE INDEX ON reservations (customer_no);

CREATE TABLE payments (
    payment_no text PRIMARY KEY,
    reservation_no text NOT NULL UNIQUE REFERENCES reservations,
    status text NOT NULL,
    charged bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE rentals (
    rental_no text PRIMARY KEY,
    reservation_no text NOT NULL UNIQUE REFERENCES reservations,
    status text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Only the service with the promises of rentcar fills these.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    reservation_no text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE answers (
    key text PRIMARY KEY,
    reservation_no text NOT NULL,
    price bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
