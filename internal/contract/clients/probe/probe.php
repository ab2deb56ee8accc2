<?php
// Record, meet a conflict as a typed problem, read a resource's history, through the PHP client.
// probe.php FOLDER-OF-THE-CLIENT, with Debian's Guzzle on the include path.
require 'GuzzleHttp/autoload.php';
spl_autoload_register(function (string $class) use ($argv): void {
    if (str_starts_with($class, 'Ocore\\Audit\\')) {
        require $argv[1] . '/lib/' . str_replace('\\', '/', substr($class, strlen('Ocore\\Audit\\'))) . '.php';
    }
});
set_error_handler(function (int $level, string $message, string $file, int $line): never {
    throw new ErrorException($message, 0, $level, $file, $line);
});

use Ocore\Audit\Api\AuditApi;
use Ocore\Audit\ApiException;
use Ocore\Audit\Configuration;
use Ocore\Audit\Model\NewAuditLog;
use Ocore\Audit\Model\Problem;

$configuration = (new Configuration())->setHost(getenv('OCORE_AUDIT_URL') . '/api')->setAccessToken(getenv('TOKEN'));
$audit = new AuditApi(null, $configuration);
$id = uniqid('php');
$odd = "eu/rack 7/50%25 ü $id";
$stored = $audit->createAuditLog(new NewAuditLog(['id' => $id, 'action' => 'a.b', 'resource_type' => 't', 'resource_id' => $odd, 'after_state' => ['n' => null, 'list' => []]]));
check($stored->getId() === $id && $stored->getBeforeState() === null, 'record');
check(array_key_exists('n', (array) $stored->getAfterState()), 'a null inside a state');
$page = $audit->listResourceAuditLogs('t', $odd);
check($page->getTotal() === 1 && $page->getItems()[0]->getResourceId() === $odd, 'history');
check($audit->listAuditLogs(resource_type: 't', resource_id: $odd, per_page: 5)->getPerPage() === 5, 'list');
try {
    $audit->createAuditLog(new NewAuditLog(['id' => $id, 'action' => 'other', 'resource_type' => 't']));
    check(false, 'conflict');
} catch (ApiException $problem) {
    check($problem->getCode() === 409 && $problem->getResponseObject() instanceof Problem && $problem->getResponseObject()->getId() === $id, 'conflict');
}

exit($GLOBALS['failed'] ? 1 : 0);

function check(bool $right, string $what): void
{
    echo $right ? 'ok   ' : 'FAIL ', "php: $what\n";
    $GLOBALS['failed'] = ($GLOBALS['failed'] ?? false) || !$right;
}
