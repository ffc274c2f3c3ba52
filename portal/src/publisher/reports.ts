import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { call, type Service } from './api';

/** A row of the reports that count. Times are in milliseconds. */
export interface Counts {
  name?: string;
  timestamp?: string;
  country?: string;
  region?: string;
  apiId?: string;
  productId?: string;
  subscriptionId?: string;
  userId?: string;
  callCountSuccess: number;
  callCountBlocked: number;
  callCountFailed: number;
  callCountOther: number;
  callCountTotal: number;
  bandwidth: number;
  apiTimeAvg: number;
}

export interface Latency {
  timestamp?: string;
  callCountTotal: number;
  apiTimeP50: number;
  apiTimeP90: number;
  apiTimeP95: number;
  apiTimeP99: number;
  serviceTimeP50: number;
  serviceTimeP95: number;
}

/** The record of one call. */
export interface Call {
  requestId: string;
  timestamp: string;
  method: string;
  url: string;
  ipAddress: string;
  responseCode: number;
  apiId: string;
  operationId: string;
  productId: string;
  subscriptionId: string;
  userId: string;
  cache: string;
  apiTime: number;
  serviceTime: number;
  apiRegion: string | null;
  requestSize: number;
  responseSize: number;
  errorSource: string | null;
  errorReason: string | null;
}

const HOUR = 3600_000;
/** How far back, and in which steps. */
export const RANGES = {
  '1h': { ms: HOUR, interval: 'PT15M', step: HOUR / 4 },
  '24h': { ms: 24 * HOUR, interval: 'PT30M', step: HOUR / 2 },
  '7d': { ms: 7 * 24 * HOUR, interval: 'PT3H', step: 3 * HOUR },
  '30d': { ms: 30 * 24 * HOUR, interval: 'PT12H', step: 12 * HOUR },
} as const;
export type Range = keyof typeof RANGES;

/** Since when a range counts: whole steps, so that the address of a report stays the same for a while. */
export function since(range: Range): number {
  const { ms, step } = RANGES[range];
  return Math.floor((Date.now() - ms) / step) * step;
}

export function report<R>(service: Service, name: string, from: number, more = ''): Promise<R[]> {
  const filter = encodeURIComponent(`timestamp ge datetime'${new Date(from).toISOString()}'`);
  return call<{ value: R[] }>('GET', `${service.id}/reports/${name}?$filter=${filter}${more}`).then((r) => r.data.value);
}

export function useReport<R>(service: Service, name: string, range: Range, more = '') {
  return useQuery({
    queryKey: ['report', service.id, name, range, more],
    queryFn: () => report<R>(service, name, since(range), more),
    refetchInterval: 15_000,
    placeholderData: keepPreviousData,
  });
}
