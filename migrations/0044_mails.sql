-- Blind copies: delivered to `recipient`, showing the developer that the mail was for.
ALTER TABLE mails ADD COLUMN shown_recipient text;
