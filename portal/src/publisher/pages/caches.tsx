import { Code } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import { KindList, KindPage, type Kind } from '../kind';

interface Cache {
  description?: string | null;
  connectionString: string;
  useFromLocation: string;
}

function useCaches(): Kind<Cache> {
  const { t } = useTranslation();
  return {
    segment: 'caches',
    route: '/$service/caches',
    title: t('Caches'),
    about: t('A Redis that gateways share for what cache policies keep. Without one, each gateway keeps it in its own memory.'),
    add: t('Add a cache'),
    taken: t('There is a cache of that name.'),
    searched: null,
    initial: { useFromLocation: 'default' },
    fields: () => [
      { name: 'description', label: t('Description') },
      { name: 'connectionString', label: t('Connection string'), required: true, placeholder: 'redis.example.org:6380,password=…,ssl=True', help: t('Sealed in the database; afterwards only the name under which it is kept is shown. Or a named value: {{example}}', { example: '{{redis}}' }) },
      { name: 'useFromLocation', label: t('Location whose gateways use it'), required: true, help: t('“default” is for every gateway that has no cache of its own.') },
    ],
    columns: (link) => [
      { label: t('Name'), cell: (c) => link(c, c.name) },
      { label: t('Location'), cell: (c) => c.properties.useFromLocation },
      { label: t('Connection string'), cell: (c) => <Code>{c.properties.connectionString}</Code> },
      { label: t('Description'), cell: (c) => c.properties.description },
    ],
    deletion: t('Gateways keep what they cache in their own memory again.'),
  };
}

export function Caches() {
  return <KindList kind={useCaches()} />;
}

export function CachePage() {
  return <KindPage kind={useCaches()} />;
}
