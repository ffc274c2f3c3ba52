-- The outbox: every mail Portico ever wanted to send, until purged. See crates/mail.
CREATE TABLE mails (
  id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  -- Not a foreign key: mails of a deleted service stay readable.
  service_id  uuid,
  -- Name of the template or notification it was made from.
  template    text NOT NULL,
  -- The same in every attempt, so that receivers can drop a second copy.
  message_id  text NOT NULL UNIQUE,
  sender      text NOT NULL,
  recipient   text NOT NULL,
  subject     text NOT NULL,
  text_body   text NOT NULL,
  html_body   text NOT NULL,
  -- queued: a job will send it; held: no mail server was configured; failed: given up, last_error says why.
  status      text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'held', 'sent', 'failed')),
  attempts    integer NOT NULL DEFAULT 0,
  last_error  text,
  created_at  timestamptz NOT NULL DEFAULT now(),
  sent_at     timestamptz,
  CHECK ((status = 'sent') = (sent_at IS NOT NULL))
);

CREATE INDEX mails_by_service ON mails (service_id, created_at DESC);
CREATE INDEX mails_not_sent ON mails (status, created_at) WHERE status <> 'sent';
