import { Button, Code, Group } from '@mantine/core';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Loaded, Page, Problem } from '../../shared/ui';
import { call, exists, nameOf, useGet, useRefresh, useService, type Resource, type Schemas } from '../api';
import { Editor, Form } from '../form';
import { deletion, ResourceTable } from '../table';

type NamedValue = Schemas['NamedValueContract'];

export function NamedValues() {
  const { t } = useTranslation();
  const service = useService();
  return (
    <Page title={t('Named values')} actions={<Button renderRoot={(p) => <Link to="/$service/named-values/new" params={{ service: service.name }} {...p} />}>{t('Add a named value')}</Button>}>
      <ResourceTable<NamedValue>
        label={t('Named values')}
        path={`${service.id}/namedValues`}
        titleOf={(v) => v.properties.displayName}
        bulk={[deletion(t('Delete'), t('Policies that use it are refused when they are saved next.'))]}
        columns={[
          { label: t('Name'), sort: 'displayName', cell: (v) => <Link to="/$service/named-values/$value" params={{ service: service.name, value: v.name }}>{v.properties.displayName}</Link> },
          { label: t('Value'), cell: (v) => (v.properties.secret ? t('secret') : <span className="mono">{v.properties.value as string}</span>) },
          { label: t('In policies'), cell: (v) => <Code>{`{{${v.properties.displayName}}}`}</Code> },
        ]}
      />
    </Page>
  );
}

export function AddNamedValue() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  return (
    <Page title={t('Add a named value')}>
      <Form
        label={t('Create')}
        initial={{ secret: false }}
        fields={[
          { name: 'displayName', label: t('Name'), required: true, help: t('Letters, digits, dots, hyphens and underscores.') },
          { name: 'value', label: t('Value'), required: true, kind: 'area' },
          { name: 'secret', label: t('Secret: sealed in the database, hidden until asked for'), kind: 'switch' },
        ]}
        submit={async (values) => {
          const name = nameOf(String(values.displayName ?? ''));
          const path = `${service.id}/namedValues/${name}`;
          if (await exists(path)) throw new Error(t('There is a named value of that name.'));
          await call('PUT', path, { properties: values });
          await refresh();
          await navigate({ to: '/$service/named-values', params: { service: service.name } });
        }}
      />
    </Page>
  );
}

export function NamedValuePage() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const { value = '' } = useParams({ strict: false });
  const path = `${service.id}/namedValues/${value}`;
  const query = useGet<Resource<NamedValue>>(path);
  const [shown, setShown] = useState<string>();
  const [error, setError] = useState<unknown>();
  return (
    <Loaded query={query}>
      {({ data }) => (
        <Page title={data.properties.displayName}>
          {error !== undefined && <Problem error={error} />}
          {data.properties.secret && (
            <Group>
              <Button variant="default" onClick={() => (shown === undefined ? void call<{ value: string }>('POST', `${path}/listValue`).then((r) => setShown(r.data.value), setError) : setShown(undefined))}>{shown === undefined ? t('Show the value') : t('Hide the value')}</Button>
              <span className="mono">{shown}</span>
            </Group>
          )}
          <Editor
            path={path}
            fields={[{ name: 'value', label: data.properties.secret ? t('New value') : t('Value'), kind: 'area' }, { name: 'secret', label: t('Secret: sealed in the database, hidden until asked for'), kind: 'switch' }]}
            remove={{ text: t('Policies that use it are refused when they are saved next.'), done: () => void navigate({ to: '/$service/named-values', params: { service: service.name } }) }}
          />
        </Page>
      )}
    </Loaded>
  );
}
