// Slurm's reasons why a job waits, in plain words. `never`: the job cannot start as it is, whatever other jobs do. Held
// jobs are not those, since somebody may release them, and neither is what an administrator changes every day.
// Source: job_reason_codes of its documentation.

import type { Reason } from '../batch/scheduler.ts';

const waits = (text: string): Reason => ({ text, isNever: false });
const never = (text: string): Reason => ({ text, isNever: true });

const REASONS: Readonly<Record<string, Reason>> = {
  None: waits('Slurm has not looked at it yet'),
  Priority: waits('jobs with a higher priority come first'),
  Resources: waits('it comes next, as soon as what it asks for is free'),
  Licenses: waits('a licence it asks for is in use'),
  BeginTime: waits('its begin time has not come yet'),
  Dependency: waits('it depends on another job that has not ended yet'),
  DependencyNeverSatisfied: never('it depends on another job in a way that can no longer come true'),
  JobHeldUser: waits('it is held by its owner; "scontrol release" lets it go'),
  JobHeldAdmin: waits('it is held by an administrator of Slurm'),
  JobHoldMaxRequeue: never('it was started too often without success and is held'),
  PartitionTimeLimit: never('it asks for more time than the partition ever gives'),
  PartitionNodeLimit: never('it asks for more or fewer nodes than the partition allows'),
  PartitionConfig: never('it asks for something that the partition does not allow or have'),
  PartitionMaxNodes: never('it asks for more nodes than the partition allows'),
  PartitionMinNodes: never('it asks for fewer nodes than the partition wants'),
  PartitionDown: waits('the partition is closed at the moment'),
  PartitionInactive: waits('the partition takes jobs but starts none at the moment'),
  BadConstraints: never('no node has what it asks for'),
  InvalidAccount: never('its account is not known to Slurm'),
  InvalidQOS: never('its quality of service is not known to Slurm'),
  QOSNotAllowed: never('its account or partition may not use this quality of service'),
  AccountNotAllowed: never('its account may not use this partition'),
  AccountingPolicy: waits('a limit of its account is reached'),
  MaxMemPerLimit: never('it asks for more memory than a job may have here'),
  ReqNodeNotAvail: waits('a node it needs is down, drained or reserved, for maintenance perhaps'),
  NodeDown: waits('a node it needs is down'),
  Reservation: waits('its reservation has not begun yet'),
  ReservationDeleted: waits('its reservation is gone; an administrator can move it'),
  FrontEndDown: waits('no front end of the nodes is up'),
  Cleaning: waits('it was started before and is still being cleaned up'),
  Prolog: waits('the nodes are being prepared for it'),
  JobArrayTaskLimit: waits('its array runs as many tasks at once as it may'),
  SchedDefer: waits('Slurm looks at it later, since it is told to start nothing at once'),
  DeadLine: never('it can no longer end before its deadline'),
  BurstBufferResources: waits('there is not enough space in the burst buffer'),
  BurstBufferStageIn: waits('its files are being brought into the burst buffer'),
  BurstBufferOperation: waits('its burst buffer failed; an administrator has to look'),
  FedJobLock: waits('clusters of the federation have to agree on who starts it'),
  InactiveLimit: waits('Slurm finds it inactive'),
  AssociationJobLimit: waits('its account runs as many jobs as it may'),
  AssociationResourceLimit: waits('its account uses as much as it may'),
  AssociationTimeLimit: waits('its account has used up its time'),
  QOSJobLimit: waits('its quality of service runs as many jobs as it may'),
  QOSResourceLimit: waits('its quality of service uses as much as it may'),
  QOSTimeLimit: waits('its quality of service has used up its time'),
  QOSUsageThreshold: waits('its account has used too much lately for this quality of service'),
  AssocMaxJobsLimit: waits('you run as many jobs as your account allows'),
  QOSMaxJobsPerUserLimit: waits('you run as many jobs as the quality of service allows'),
};

/** Names that Slurm makes for every kind of resource; the first that matches counts. */
const FAMILIES: readonly (readonly [RegExp, Reason])[] = [
  [/requeued held$/, never('it could not be started and is held; an administrator of Slurm has to look')],
  [/^(?:Assoc|QOS)Max.*(?:PerJob|PerNode)(?:Limit)?$/, never('it asks for more than one job may have here')],
  [/^QOSMin.*/, never('it asks for less than its quality of service wants')],
  [/^(?:Assoc|QOS)Grp.*Minutes(?:Limit)?$/, waits('the time granted to its account or quality of service is used up')],
  [/^AssocGrp/, waits('the jobs of its account use together as much as they may')],
  [/^QOSGrp/, waits('the jobs of its quality of service use together as much as they may')],
  [/^(?:Assoc|QOS)?Max.*(?:PerUser|SubmitJob)/, waits('your jobs use together as much as they may')],
  [/^(?:QOS)?Max.*PerAccount/, waits('the jobs of its account use together as much as they may')],
];

/** A reason in plain words. Slurm adds details to some, behind a comma or in brackets. */
export function slurmReason(word: string): Reason {
  const name = word.replaceAll('_', ' ').trim();
  const first = name.split(/[,(:]/, 1)[0]?.trim() ?? '';
  const known = Object.hasOwn(REASONS, first) ? REASONS[first] : undefined;
  return (
    known ?? FAMILIES.find(([names]) => names.test(first))?.[1] ?? waits('for a reason that is not explained here')
  );
}
