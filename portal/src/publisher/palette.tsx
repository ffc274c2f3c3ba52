import { Kbd, Modal, Stack, Text, TextInput, UnstyledButton } from '@mantine/core';
import { useDebouncedValue, useHotkeys } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useEffect, useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { call, useServices, type Listed, type Service } from './api';

interface Command {
  label: string;
  note: string;
  run: () => void;
}

const KINDS = [
  { segment: 'apis', field: 'displayName', to: '/$service/apis/$api', parameter: 'api', title: (p: Record<string, string>) => p.displayName },
  { segment: 'products', field: 'displayName', to: '/$service/products/$product', parameter: 'product', title: (p: Record<string, string>) => p.displayName },
  { segment: 'subscriptions', field: 'displayName', to: '/$service/subscriptions/$subscription', parameter: 'subscription', title: (p: Record<string, string>) => p.displayName },
  { segment: 'users', field: 'email', to: '/$service/users/$user', parameter: 'user', title: (p: Record<string, string>) => p.email },
  { segment: 'namedValues', field: 'displayName', to: '/$service/named-values/$value', parameter: 'value', title: (p: Record<string, string>) => p.displayName },
  { segment: 'groups', field: 'displayName', to: '/$service/groups/$group', parameter: 'group', title: (p: Record<string, string>) => p.displayName },
  { segment: 'tags', field: 'displayName', to: '/$service/tags/$name', parameter: 'name', title: (p: Record<string, string>) => p.displayName },
  { segment: 'policyFragments', field: 'name', to: '/$service/policy-fragments/$name', parameter: 'name', title: (p: Record<string, string>) => p.displayName },
  { segment: 'backends', field: 'title', to: '/$service/backends/$backend', parameter: 'backend', title: (p: Record<string, string>) => p.title },
] as const;

/** Goes anywhere by typing: pages, actions, services, and what the service holds. */
export function Palette({ opened, onClose, links, service }: { opened: boolean; onClose: () => void; links: [string, string][]; service?: Service }) {
  const { t } = useTranslation();
  return (
    <Modal opened={opened} onClose={onClose} title={t('Go to or do')} size="lg" yOffset="10vh" closeButtonProps={{ 'aria-label': t('Close') }}>
      {opened && <Commands onClose={onClose} links={links} service={service} />}
    </Modal>
  );
}

function Commands({ onClose, links, service }: { onClose: () => void; links: [string, string][]; service?: Service }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const services = useServices();
  const [typed, setTyped] = useState('');
  const [chosen, setChosen] = useState(0);
  const [wanted] = useDebouncedValue(typed.trim(), 150);
  const list = useRef<HTMLDivElement>(null);
  const found = useQuery({
    queryKey: ['palette', service?.id, wanted],
    enabled: service !== undefined && wanted.length > 1,
    queryFn: async () =>
      (await Promise.all(KINDS.map(async (kind) => {
        const filter = encodeURIComponent(`contains(${kind.field},'${wanted.replaceAll("'", "''")}')${kind.segment === 'apis' ? ' and isCurrent eq true' : ''}`);
        const { data } = await call<Listed<Record<string, string>>>('GET', `${service?.id}/${kind.segment}?$top=5&$filter=${filter}`);
        return data.value.map((row) => ({ kind, name: row.name, title: kind.title(row.properties) || row.name }));
      }))).flat(),
  });
  const go = (to: string, params: Record<string, string>) => () => void navigate({ to: to as '/$service', params: params as { service: string } });
  const names: Record<string, string> = { apis: t('API'), products: t('Product'), subscriptions: t('Subscription'), users: t('User'), namedValues: t('Named value'), backends: t('Backend'), groups: t('Group'), tags: t('Tag'), policyFragments: t('Policy fragment') };
  const commands: Command[] = [
    ...(service ? links.map(([to, label]) => ({ label, note: t('Page'), run: go(to, { service: service.name }) })) : []),
    ...(service
      ? ([
          ['/$service/apis/new', t('Add an API')], ['/$service/apis/import', t('Import an API')], ['/$service/products/new', t('Add a product')],
          ['/$service/subscriptions/new', t('Add a subscription')], ['/$service/users/new', t('Add a user')], ['/$service/groups/new', t('Add a group')], ['/$service/named-values/new', t('Add a named value')],
          ['/$service/backends/new', t('Add a backend')], ['/$service/certificates/new', t('Add a certificate')], ['/$service/tags/new', t('Add a tag')], ['/$service/schemas/new', t('Add a schema')], ['/$service/policy-fragments/new', t('Add a policy fragment')],
          ['/$service/loggers/new', t('Add a logger')], ['/$service/caches/new', t('Add a cache')], ['/$service/authorization-servers/new', t('Add an authorization server')], ['/$service/gateways/new', t('Add a gateway')],
        ] as const).map(([to, label]) => ({ label, note: t('Action'), run: () => void navigate({ to: to.replace('$service', service.name) as '/' }) }))
      : []),
    { label: t('Create a service'), note: t('Action'), run: () => void navigate({ to: '/new-service' }) },
    { label: t('Services'), note: t('Page'), run: () => void navigate({ to: '/' }) },
    ...(services.data ?? []).map((s) => ({ label: s.name, note: t('Service'), run: go('/$service', { service: s.name }) })),
  ].filter((c) => c.label.toLowerCase().includes(typed.trim().toLowerCase()));
  for (const { kind, name, title } of found.data ?? []) commands.push({ label: title, note: names[kind.segment], run: go(kind.to, { service: service?.name ?? '', [kind.parameter]: name }) });
  const at = Math.min(chosen, commands.length - 1);
  useEffect(() => { list.current?.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest' }); }, [at]);
  const run = (command?: Command) => {
    if (!command) return;
    onClose();
    command.run();
  };
  return (
    <Stack gap="xs">
      <TextInput
        aria-label={t('Go to or do')}
        placeholder={t('Type the name of a page, an action, an API, a user …')}
        data-autofocus
        role="combobox"
        aria-expanded
        aria-controls="palette"
        aria-activedescendant={commands.length > 0 ? `palette-${at}` : undefined}
        value={typed}
        onChange={(e) => { setTyped(e.currentTarget.value); setChosen(0); }}
        onKeyDown={(e) => {
          const step = e.key === 'ArrowDown' ? 1 : e.key === 'ArrowUp' ? -1 : 0;
          if (step !== 0 && commands.length > 0) {
            e.preventDefault();
            setChosen((at + step + commands.length) % commands.length);
          }
          if (e.key === 'Enter') {
            e.preventDefault();
            run(commands[at]);
          }
        }}
      />
      <div id="palette" role="listbox" aria-label={t('Results')} ref={list} tabIndex={-1} style={{ maxHeight: '50vh', overflowY: 'auto' }}>
        {commands.map((command, i) => (
          <UnstyledButton key={`${command.note}${command.label}${i}`} id={`palette-${i}`} role="option" aria-selected={i === at} tabIndex={-1} onClick={() => run(command)} className="nav" w="100%"
            style={i === at ? { background: 'var(--mantine-color-default-hover)', boxShadow: 'inset 3px 0 0 var(--mantine-color-anchor)' } : undefined}>
            {command.label} <Text component="span" size="xs" c="dimmed">{command.note}</Text>
          </UnstyledButton>
        ))}
      </div>
      {commands.length === 0 && <Text size="sm" role="status">{t('Nothing matches.')}</Text>}
      <Text size="xs" c="dimmed"><Kbd>↑</Kbd> <Kbd>↓</Kbd> {t('choose')}, <Kbd>Enter</Kbd> {t('opens')}, <Kbd>Esc</Kbd> {t('closes')}</Text>
    </Stack>
  );
}

/** Ctrl+K opens the palette from everywhere, also while one types. */
export function usePaletteKeys(open: () => void) {
  useHotkeys([['mod+K', open]], [], true);
}
