import { useTranslation } from 'react-i18next';
import type { Values } from '../form';
import { KindList, KindPage, type Kind } from '../kind';

interface GlobalSchema {
  schemaType: 'json' | 'xml';
  description?: string | null;
  value?: string | null;
  document?: unknown;
}

/** The contract keeps JSON as an object and XML as a text; the form has one field for both. */
const sent = ({ content, ...values }: Values): Values => {
  if (content === undefined) return values;
  const text = String(content);
  return values.schemaType === 'xml' ? { ...values, value: text } : { ...values, document: JSON.parse(text) as unknown };
};

function useSchemas(): Kind<GlobalSchema> {
  const { t } = useTranslation();
  return {
    segment: 'schemas',
    route: '/$service/schemas',
    title: t('Schemas'),
    about: t('For policies that validate content. Schemas of one API are on its page.'),
    add: t('Add a schema'),
    taken: t('There is a schema of that name.'),
    searched: null,
    initial: { schemaType: 'json', content: '{\n  "type": "object"\n}' },
    fields: (isNew) => [
      { name: 'schemaType', label: t('Type'), kind: 'select', disabled: !isNew, options: [{ value: 'json', label: 'JSON Schema' }, { value: 'xml', label: 'XML Schema' }] },
      { name: 'description', label: t('Description'), kind: 'area' },
      { name: 'content', label: t('Document'), kind: 'code', required: true },
    ],
    read: ({ schemaType, description, value, document }) => ({ schemaType, description, content: value ?? JSON.stringify(document ?? {}, null, 2) }),
    sent,
    whole: true,
    columns: (link) => [
      { label: t('Name'), cell: (s) => link(s, s.name) },
      { label: t('Type'), cell: (s) => (s.properties.schemaType === 'xml' ? 'XML Schema' : 'JSON Schema') },
      { label: t('Description'), cell: (s) => s.properties.description },
    ],
    deletion: t('Policies that validate with it refuse every call.'),
  };
}

export function Schemas() {
  return <KindList kind={useSchemas()} />;
}

export function SchemaPage() {
  return <KindPage kind={useSchemas()} />;
}
