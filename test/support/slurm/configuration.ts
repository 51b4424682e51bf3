// The configuration files of the lab, as text.

/** Ports on loopback. */
export interface LabPorts {
  readonly controller: number;
  readonly firstNode: number;
  readonly secondNode: number;
  readonly accounting: number;
  readonly database: number;
}

export interface LabWishes {
  /** With slurmdbd and a database, so that sacct works. */
  readonly accounting?: boolean;
  /** Seconds after which the controller forgets an ended job. */
  readonly minJobAge?: number;
  /** Script that a node runs before each job; when it fails the job does not begin there. */
  readonly prolog?: string;
}

/** Name of the machine in the eyes of the lab's daemons: the controller, and the node that jobs run on. */
export const HOST = 'lab1';
/** A node that no other test needs, in the partition `spare`. */
export const SPARE_NODE = 'lab2';
/** Seconds between SIGTERM and SIGKILL for a job that is cancelled. */
export const KILL_WAIT = 3;

/** The host names are known inside the lab only, so that it does not depend on what the machine calls itself. */
export const HOSTS = `127.0.0.1 localhost ${HOST} ${SPARE_NODE}\n`;

/**
 * slurm.conf. Everything on 127.0.0.1: NoInAddrAny and NoCtldInAddrAny bind to what the own host name resolves to.
 * Without control groups, so that it works in a container; without the pause of 3 s before a job is looked at.
 */
export function slurmConf(directory: string, ports: LabPorts, wishes: LabWishes): string {
  const socket = `${directory}/munge/socket`;
  const accounting =
    wishes.accounting === true
      ? [
          'AccountingStorageType=accounting_storage/slurmdbd',
          'AccountingStorageHost=127.0.0.1',
          `AccountingStoragePort=${ports.accounting}`,
          `AccountingStoragePass=${socket}`,
        ]
      : ['AccountingStorageType=accounting_storage/none'];
  return lines(
    'ClusterName=lab',
    `SlurmctldHost=${HOST}(127.0.0.1)`,
    `SlurmctldPort=${ports.controller}`,
    'CommunicationParameters=NoCtldInAddrAny,NoInAddrAny',
    ...['AuthType=auth/munge', 'CredType=cred/munge', `AuthInfo=socket=${socket}`],
    ...['SlurmUser=slurm', 'SlurmdUser=root'],
    `StateSaveLocation=${directory}/state`,
    `SlurmdSpoolDir=${directory}/spool/%n`,
    `SlurmctldPidFile=${directory}/run/slurmctld.pid`,
    `SlurmdPidFile=${directory}/run/slurmd-%n.pid`,
    'SlurmdParameters=config_overrides',
    ...['ProctrackType=proctrack/linuxproc', 'TaskPlugin=task/none', 'JobAcctGatherType=jobacct_gather/linux'],
    ...['JobAcctGatherFrequency=task=1', 'MpiDefault=none', 'SwitchType=switch/none', 'MailProg=/bin/true'],
    ...['SelectType=select/cons_tres', 'SelectTypeParameters=CR_Core_Memory', 'DefMemPerCPU=100'],
    'SchedulerType=sched/backfill',
    'SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,default_queue_depth=1000',
    ...['ReturnToService=2', 'SlurmdTimeout=60', 'InactiveLimit=0'],
    ...[`MinJobAge=${wishes.minJobAge ?? 300}`, `KillWait=${KILL_WAIT}`],
    ...(wishes.prolog === undefined ? [] : [`Prolog=${prologIn(directory)}`]),
    ...accounting,
    `NodeName=${HOST} NodeAddr=127.0.0.1 Port=${ports.firstNode} CPUs=8 RealMemory=2000 State=UNKNOWN`,
    `NodeName=${SPARE_NODE} NodeAddr=127.0.0.1 Port=${ports.secondNode} CPUs=8 RealMemory=2000 State=UNKNOWN`,
    `PartitionName=ci Nodes=${HOST} Default=YES MaxTime=01:00:00 DefaultTime=00:10:00 State=UP`,
    `PartitionName=spare Nodes=${SPARE_NODE} MaxTime=01:00:00 State=UP`,
  );
}

export function prologIn(directory: string): string {
  return `${directory}/etc/prolog`;
}

/** slurmdbd.conf; it holds a password. */
export function slurmdbdConf(directory: string, ports: LabPorts, password: string): string {
  return lines(
    ...['AuthType=auth/munge', `AuthInfo=socket=${directory}/munge/socket`],
    'CommunicationParameters=NoInAddrAny',
    ...[`DbdHost=${HOST}`, 'DbdAddr=127.0.0.1', `DbdPort=${ports.accounting}`],
    'SlurmUser=slurm',
    `PidFile=${directory}/run/slurmdbd.pid`,
    'StorageType=accounting_storage/mysql',
    ...['StorageHost=127.0.0.1', `StoragePort=${ports.database}`, 'StorageLoc=slurm_acct_db'],
    ...['StorageUser=slurm', `StoragePass=${password}`],
  );
}

function lines(...all: readonly string[]): string {
  return `${all.join('\n')}\n`;
}
