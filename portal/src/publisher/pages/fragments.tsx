import { Button, Code, Group, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { Loaded, Page } from '../../shared/ui';
import { call, exists, nameOf, useGet, useRefresh, useService, type Resource } from '../api';
import { Form, Removal } from '../form';
import { deletion, ResourceTable } from '../table';
import { FRAGMENT, PolicyEditor } from './policy';

interface Fragment {
  description?: string | null;
  value: string;
}

/** Pieces of policy that several documents include. */
export function PolicyFragments() {
  const { t } = useTranslation();
  const service = useService();
  return (
    <Page title={t('Policy fragments')} actions={<Button renderRoot={(p) => <Link to="/$service/policy-fragments/$name" params={{ service: service.name, name: 'new' }} {...p} />}>{t('Add a policy fragment')}</Button>}>
      <Text size="sm">{t('Pieces that several policy documents include, written once.')}</Text>
      <ResourceTable<Fragment>
        label={t('Policy fragments')}
        path={`${service.id}/policyFragments`}
        searched="name"
        bulk={[deletion(t('Delete'), t('What a policy still includes is not deleted.'))]}
        columns={[
          { label: t('Name'), sort: 'name', cell: (f) => <Link to="/$service/policy-fragments/$name" params={{ service: service.name, name: f.name }}>{f.name}</Link> },
          { label: t('Description'), sort: 'description', cell: (f) => f.properties.description },
          { label: t('In policies'), cell: (f) => <Code>{`<include-fragment fragment-id="${f.name}" />`}</Code> },
        ]}
      />
    </Page>
  );
}

export function PolicyFragmentPage() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const { name = '' } = useParams({ strict: false }) as { name?: string };
  const path = `${service.id}/policyFragments/${name}`;
  const query = useGet<Resource<Fragment>>(name === 'new' ? undefined : path);
  if (name === 'new') {
    return (
      <Page title={t('Add a policy fragment')}>
        <Form
          label={t('Create')}
          initial={{}}
          fields={[{ name: 'name', label: t('Name'), required: true, help: t('Letters, digits and hyphens; part of the addresses.') }, { name: 'description', label: t('Description'), kind: 'area' }]}
          submit={async ({ name: typed, description }) => {
            const id = nameOf(String(typed ?? ''));
            const target = `${service.id}/policyFragments/${id}`;
            if (await exists(target)) throw new Error(t('There is a policy fragment of that name.'));
            await call('PUT', target, { properties: { description: description || null, format: 'rawxml', value: FRAGMENT } });
            await refresh();
            await navigate({ to: '/$service/policy-fragments/$name', params: { service: service.name, name: id } });
          }}
        />
      </Page>
    );
  }
  return (
    <Loaded query={query}>
      {({ data, etag }) => (
        <Page title={data.name} actions={<Removal path={path} name={data.name} etag={etag} text={t('What a policy still includes is not deleted.')} done={() => navigate({ to: '/$service/policy-fragments', params: { service: service.name } })} />}>
          {data.properties.description && <Text>{data.properties.description}</Text>}
          <Text size="sm">{t('In policies')}: <Code>{`<include-fragment fragment-id="${data.name}" />`}</Code></Text>
          <PolicyEditor key={name} path={path} />
          <References path={path} />
        </Page>
      )}
    </Loaded>
  );
}

/** Whose policies include the fragment. */
function References({ path }: { path: string }) {
  const { t } = useTranslation();
  const service = useService();
  const query = useQuery({ queryKey: ['references', path], queryFn: async () => (await call<{ value: { id: string }[] }>('POST', `${path}/listReferences`)).data.value.map((r) => r.id) });
  return (
    <Stack gap="xs" component="section" aria-label={t('Who includes it')}>
      <Text component="h2" fw={600}>{t('Who includes it')}</Text>
      <Loaded query={query}>
        {(ids) => ids.length === 0 ? <Text size="sm">{t('Nobody includes it yet.')}</Text> : <Group gap="xs">{ids.map((id) => <Code key={id}>{id.slice(service.id.length)}</Code>)}</Group>}
      </Loaded>
    </Stack>
  );
}
