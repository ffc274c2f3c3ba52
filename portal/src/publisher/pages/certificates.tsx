import { Button, FileInput, PasswordInput, Stack, Text, TextInput } from '@mantine/core';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Loaded, Page } from '../../shared/ui';
import { call, exists, nameOf, useGet, useRefresh, useService, type Resource } from '../api';
import { base64 } from '../../shared/files';
import { Removal, useSubmit } from '../form';
import { deletion, ResourceTable } from '../table';

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
        bulk={[deletion(t('Delete'), t('Calls whose policies or backends name it fail.'))]}
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
  const { certificate = '' } = useParams({ strict: false });
  const path = `${service.id}/certificates/${certificate}`;
  const query = useGet<Resource<Certificate>>(certificate === 'new' ? undefined : path);
  if (certificate === 'new') return <Page title={t('Add a certificate')}><CertificateForm /></Page>;
  return (
    <Loaded query={query}>
      {({ data, etag }) => (
        <Page title={data.name} actions={<Removal path={path} name={data.name} etag={etag} text={t('Calls whose policies or backends name it fail.')} done={() => navigate({ to: '/$service/certificates', params: { service: service.name } })} />}>
          <Text>{data.properties.subject}</Text>
          <Text className="mono">{data.properties.thumbprint}</Text>
          <Text>{t('Expires')}: <Expiry at={data.properties.expirationDate} /></Text>
          <Text component="h2" fw={600}>{t('Replace the file')}</Text>
          <CertificateForm key={etag} name={data.name} etag={etag} />
        </Page>
      )}
    </Loaded>
  );
}

function CertificateForm({ name: stored, etag }: { name?: string; etag?: string | null }) {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const [name, setName] = useState(stored ?? '');
  const [file, setFile] = useState<File | null>(null);
  const [password, setPassword] = useState('');
  const final = stored ?? nameOf(name);
  const path = `${service.id}/certificates/${final}`;
  const { failure, busy, form, notices } = useSubmit([name, file?.name, password], async () => {
    if (!file) throw new Error(t('Choose a file first.'));
    if (!stored && await exists(path)) throw new Error(t('There is a certificate of that name.'));
    await call('PUT', path, { properties: { data: await base64(file), ...(password ? { password } : {}) } }, stored ? (etag ?? '*') : undefined);
    await refresh();
    await navigate({ to: '/$service/certificates', params: { service: service.name } });
  });
  return (
    <form {...form}>
      <Stack maw={640}>
        {notices}
        {!stored && <TextInput label={t('Name')} required value={name} onChange={(e) => setName(e.currentTarget.value)} />}
        <FileInput label={t('File')} description={t('PKCS #12 (.pfx, .p12), or a certificate alone (.cer, .crt, .pem)')} placeholder={t('Choose a file')} accept=".pfx,.p12,.cer,.crt,.pem" value={file} onChange={setFile} error={failure?.of('data')} />
        <PasswordInput label={t('Password of the file')} autoComplete="off" value={password} error={failure?.of('password')} onChange={(e) => setPassword(e.currentTarget.value)} visibilityToggleButtonProps={{ 'aria-label': t('Show the password') }} />
        <div><Button type="submit" loading={busy}>{stored ? t('Replace') : t('Create')}</Button></div>
      </Stack>
    </form>
  );
}
