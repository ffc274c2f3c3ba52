import { useTranslation } from 'react-i18next';
import { KindList, KindPage, type Kind } from '../kind';
import { Loaded } from '../../shared/ui';
import { useGet, useService, type Resource } from '../api';
import { Stack, Table, Text, Title } from '@mantine/core';

interface Workspace {
  displayName: string;
  description?: string | null;
}

function useWorkspaces(): Kind<Workspace> {
  const { t } = useTranslation();
  return {
    segment: 'workspaces',
    route: '/$service/workspaces',
    title: t('Workspaces'),
    about: t('Parts of the service, each with APIs, products and subscriptions of its own. They are filled through the management API.'),
    add: t('Add a workspace'),
    taken: t('There is a workspace of that name.'),
    searched: 'displayName',
    named: 'displayName',
    initial: {},
    fields: () => [{ name: 'displayName', label: t('Display name'), required: true }, { name: 'description', label: t('Description'), kind: 'area' }],
    columns: (link) => [
      { label: t('Name'), sort: 'displayName', cell: (w) => link(w, w.properties.displayName) },
      { label: t('Description'), sort: 'description', cell: (w) => w.properties.description },
    ],
    shown: (w) => w.properties.displayName,
    deletion: t('Everything in it goes too, and cannot be restored.'),
    restorable: false,
    extra: (w) => <Inside workspace={w} />,
  };
}

/** How much a workspace holds. */
function Inside({ workspace }: { workspace: Resource<Workspace> }) {
  const { t } = useTranslation();
  return (
    <Stack gap="xs">
      <Title order={2} size="h4">{t('What it holds')}</Title>
      <Table aria-label={t('What it holds')} variant="vertical">
        <Table.Tbody>
          <Held workspace={workspace} segment="apis" label={t('APIs')} />
          <Held workspace={workspace} segment="products" label={t('Products')} />
          <Held workspace={workspace} segment="subscriptions" label={t('Subscriptions')} />
        </Table.Tbody>
      </Table>
    </Stack>
  );
}

function Held({ workspace, segment, label }: { workspace: Resource<Workspace>; segment: string; label: string }) {
  const service = useService();
  const query = useGet<{ count?: number; value: { name: string; properties: { displayName?: string } }[] }>(`${service.id}/workspaces/${workspace.name}/${segment}?$top=20`);
  return (
    <Table.Tr>
      <Table.Th>{label}</Table.Th>
      <Table.Td><Loaded query={query}>{({ data }) => <>{data.count ?? data.value.length} <Text span size="sm">{data.value.map((x) => x.properties.displayName ?? x.name).join(', ')}</Text></>}</Loaded></Table.Td>
    </Table.Tr>
  );
}

export function Workspaces() {
  return <KindList kind={useWorkspaces()} />;
}

export function WorkspacePage() {
  return <KindPage kind={useWorkspaces()} />;
}
