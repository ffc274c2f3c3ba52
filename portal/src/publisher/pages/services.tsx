import { Button, Table, Text } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { Loaded, Page, State } from '../../shared/ui';
import { useServices } from '../api';

export function Services() {
  const { t } = useTranslation();
  const services = useServices();
  return (
    <Page title={t('Services')} actions={<Button renderRoot={(p) => <Link to="/new-service" {...p} />}>{t('Create a service')}</Button>}>
      <Loaded query={services}>
        {(all) =>
          all.length === 0 ? (
            <Text>{t('There is no service yet. Create the first one.')}</Text>
          ) : (
            <Table aria-label={t('Services')}>
              <Table.Thead><Table.Tr><Table.Th>{t('Name')}</Table.Th><Table.Th>{t('State')}</Table.Th><Table.Th>{t('Gateway URL')}</Table.Th></Table.Tr></Table.Thead>
              <Table.Tbody>
                {all.map((s) => (
                  <Table.Tr key={s.id}>
                    <Table.Td><Link to="/$service" params={{ service: s.name }}>{s.name}</Link></Table.Td>
                    <Table.Td><State value={s.properties.provisioningState} /></Table.Td>
                    <Table.Td className="mono">{s.properties.gatewayUrl}</Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          )
        }
      </Loaded>
    </Page>
  );
}
