import { Button, FileInput, PasswordInput, Stack, Text, TextInput } from '@mantine/core';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Failure } from '../../shared/failure';
import { Ask, Loaded, Page, Problem } from '../../shared/ui';
import { call, nameOf, useGet, useRefresh, useService, type Resource } from '../api';
import { ResourceTable } from '../table';

interface Certificate {
  subject: string;
  thumbprint: string;
  expirationDate: string;
}

const MONTH_MS = 30 * 24 * 3600_000;

function Expiry({ at }: { at: string }) {
  const { t, i18n } = useTranslation();
  const left = Date.parse(at) - Date.now();
  const date = new Intl.DateTimeFormat(i18n.language, { dateStyle: 'medium' }).format(new Date(at));
  return <>{date}{left < 0 ? ` (${t('expired')})` : left < MONTH_MS ? ` (${t('soon')})` : ''}</>;
}

/** With what the gateway shows itself to backends, and whose callers it trusts. */
export function Certificates() {
  const { t } = useTranslation();
  const service = useService();
  return (
    <Page title={t('Certificates')} actions={<Button renderRoot={(p) => <Link to="/$service/certificates/$certificate" params={{ service: service.name, certificate: 'new' }} {...p} />}>{t('Add a certificate')}</Button>}>
      <ResourceTable<Certificate>
        label={t('Certificates')}
        path={`${service.id}/certificates`}
        searched="subject"
        columns={[
          { label: t('Name'), sort: 'name', cell: (c) => <Link to="/$service/certificates/$certificate" params={{ service: service.name, certificate: c.name }}>{c.name}</Link> },
          { label: t('Subject'), sort: 'subject', cell: (c) => c.properties.subject },
          { label: t('Thumbprint'), cell: (c) => <span className="mono">{c.properties.thumbprint}</span> },
          { label: t('Expires'), sort: 'expirationDate', cell: (c) => <Expiry at={c.properties.expirationDate} /> },
        ]}
      />
    </Page>
  );
}

export function CertificatePage() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const { certificate = '' } = useParams({ strict: false });
  const path = `${service.id}/certificates/${certificate}`;
  const query = useGet<Resource<Certificate>>(certificate === 'new' ? undefined : path);
  const [asked, setAsked] = useState(false);
  if (certificate === 'new') return <Page title={t('Add a certificate')}><CertificateForm /></Page>;
  return (
    <Loaded query={query}>
      {({ data, etag }) => (
        <Page title={data.name} actions={<Button color="red" variant="outline" onClick={() => setAsked(true)}>{t('Delete')}</Button>}>
          <Text>{data.properties.subject}</Text>
          <Text className="mono">{data.properties.thumbprint}</Text>
          <Text>{t('Expires')}: <Expiry at={data.properties.expirationDate} /></Text>
          <Text component="h2" fw={600}>{t('Replace the file')}</Text>
          <CertificateForm key={etag} name={data.name} etag={etag} />
          <Ask opened={asked} title={t('Delete {{name}}?', { name: data.name })} text={t('Calls whose policies or backends name it fail.')} action={t('Delete')} onClose={() => setAsked(false)}
            onYes={async () => { await call('DELETE', path, undefined, etag ?? '*'); await navigate({ to: '/$service/certificates', params: { service: service.name } }); await refresh(); }} />
        </Page>
      )}
    </Loaded>
  );
}

async function base64(file: File): Promise<string> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

function CertificateForm({ name: stored, etag }: { name?: string; etag?: string | null }) {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const [name, setName] = useState(stored ?? '');
  const [file, setFile] = useState<File | null>(null);
  const [password, setPassword] = useState('');
  const [error, setError] = useState<unknown>();
  const failure = error instanceof Failure ? error : undefined;
  const final = stored ?? nameOf(name);
  const path = `${service.id}/certificates/${final}`;
  const submit = async () => {
    if (!file) throw new Error(t('Choose a file first.'));
    const taken = !stored && (await call('GET', path).then(() => true, (e: unknown) => { if (e instanceof Failure && e.status === 404) return false; throw e; }));
    if (taken) throw new Error(t('There is a certificate of that name.'));
    await call('PUT', path, { properties: { data: await base64(file), ...(password ? { password } : {}) } }, stored ? (etag ?? '*') : undefined);
    await refresh();
    await navigate({ to: '/$service/certificates', params: { service: service.name } });
  };
  return (
    <form onSubmit={(e) => { e.preventDefault(); setError(undefined); submit().catch(setError); }}>
      <Stack maw={640}>
        {error !== undefined && <Problem error={error} />}
        {!stored && <TextInput label={t('Name')} required value={name} onChange={(e) => setName(e.currentTarget.value)} />}
        <FileInput label={t('File')} description={t('PKCS #12 (.pfx, .p12), or a certificate alone (.cer, .crt, .pem)')} placeholder={t('Choose a file')} accept=".pfx,.p12,.cer,.crt,.pem" value={file} onChange={setFile} error={failure?.of('data')} />
        <PasswordInput label={t('Password of the file')} autoComplete="off" value={password} error={failure?.of('password')} onChange={(e) => setPassword(e.currentTarget.value)} visibilityToggleButtonProps={{ 'aria-label': t('Show the password') }} />
        <div><Button type="submit">{stored ? t('Replace') : t('Create')}</Button></div>
      </Stack>
    </form>
  );
}
